"""How fast a bundle's stages are here, by model, precision and batch size; takes a bounded time.

A batch size is only offered where an image in company gets the scores that it gets alone, because the
certificate's scores were computed one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from bundle.engines.contract import EngineKey, EngineUnavailable
from bundle.engines.model import OnnxModel
from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec, preprocess
from bundle.loader import open_stages
from bundle.manifest import BundleManifest
from bundle.verify import read_verified
from calibration.scores import StageOutputs, gate_probability, softmax

BATCH_SIZES = (1, 2, 4, 8, 16)
TIMING_SECONDS = 3.0
"""For all models, precisions, stages and batch sizes together; opening the models comes on top."""
SAME_SCORES = 1e-4
"""Largest difference of a probability between an image in company and the same image alone."""
_TRIED_TOGETHER = 16
"""Images at most on which it is tried whether company changes scores"""
_WORTH_IT = 1.2
"""A larger batch must be faster by this factor: on a CPU core the true gain is a twentieth, less than the
noise of a short probe, and a lone request waits for nobody."""
_HOPELESS = 1.25
"""Where a batch costs so many times the best per image, larger ones are not tried."""
_RUNS = 5

StageSeconds = Mapping[int, float]
"""Batch size -> seconds an image."""


def time_stages(
    folder: Path,
    manifest: BundleManifest,
    keys: Sequence[EngineKey],
    *,
    seconds: float = TIMING_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> dict[EngineKey, tuple[StageSeconds, ...]]:
    """Time every stage on each of `keys`; one that cannot be had here after all is said and left out."""
    found = {}
    for key in keys:
        try:
            models = open_stages(folder, manifest, key)
        except EngineUnavailable as error:
            say(f"{key} cannot be had: {error}")
            continue
        share = seconds / (len(keys) * len(models))
        found[key] = tuple(
            time_stage(model, _images(folder, manifest, stage.preprocess), share)
            for model, stage in zip(models, manifest.stages, strict=True)
        )
    return found


def time_stage(model: OnnxModel, images: NDArray[np.float32], seconds: float) -> StageSeconds:
    """Seconds an image at each batch size that fits the time and changes no score.

    images: float32 [16, 3, H, W]; batch 1 is always timed.
    """
    end = perf_counter() + seconds
    model.run(images[:1])
    found = {1: _fastest(model, images[:1], end)}
    alone: list[StageOutputs] = []
    for size in BATCH_SIZES[1:]:
        best = min(found.values())
        left = end - perf_counter()
        if model.one_by_one or left < 3 * size * best:
            break
        alone += [model.run(images[row : row + 1]) for row in range(len(alone), size)]
        if not _same_scores(model.run(images[:size]), alone):
            break
        found[size] = _fastest(model, images[:size], end)
        if found[size] > _HOPELESS * best:
            break
    return found


def require_batch_invariance(
    folder: Path, manifest: BundleManifest, models: Sequence[OnnxModel], size: int
) -> None:
    """Raise EngineUnavailable where images that are computed `size` at a time are not certified: where a
    stage gives them other scores than alone, or computes them one by one whatever is asked."""
    for model, stage in zip(models, manifest.stages, strict=True):
        if model.one_by_one:
            raise EngineUnavailable(
                f"batch is {size}, but stage {stage.name} on {model.name} computes one image at a time; "
                "leave the batch out, or 1"
            )
        images = _images(folder, manifest, stage.preprocess)[: min(size, _TRIED_TOGETHER)]
        alone = [model.run(images[row : row + 1]) for row in range(len(images))]
        if not _same_scores(model.run(images), alone):
            raise EngineUnavailable(
                f"batch is {size}, but stage {stage.name} on {model.name} gives {len(images)} images other "
                "scores together than one by one, as they were certified; leave the batch out, or 1"
            )


def best_batch(timed: StageSeconds) -> int:
    """The smallest batch that is about as fast as the fastest."""
    best = min(timed.values())
    return min(size for size, seconds in timed.items() if seconds <= _WORTH_IT * best)


def _fastest(model: OnnxModel, batch: NDArray[np.float32], end: float) -> float:
    """Seconds an image in the fastest of a few runs: other programs only ever slow a run down."""
    times = []
    for _ in range(_RUNS):
        began = perf_counter()
        model.run(batch)
        now = perf_counter()
        times.append((now - began) / len(batch))
        if now > end:
            break
    return min(times)


def _same_scores(together: StageOutputs, alone: Sequence[StageOutputs]) -> bool:
    ours, theirs = softmax(together.logits), softmax(np.concatenate([one.logits for one in alone]))
    worst = float(np.abs(ours - theirs).max())
    if together.gate is not None:
        gates = np.concatenate([gate_probability(one) for one in alone])
        worst = max(worst, float(np.abs(gate_probability(together) - gates).max()))
    return worst <= SAME_SCORES


def _images(folder: Path, manifest: BundleManifest, spec: PreprocessSpec) -> NDArray[np.float32]:
    """float32 [16, 3, H, W]: golden images, again from the first where there are fewer."""
    cases = manifest.golden[: BATCH_SIZES[-1]]
    rows = [
        preprocess(decode(read_verified(folder, manifest, case.file), target=spec.size), spec)
        for case in cases
    ] or [np.zeros((3, *spec.size), dtype=np.float32)]
    return np.stack([rows[place % len(rows)] for place in range(BATCH_SIZES[-1])])
