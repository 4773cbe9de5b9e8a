"""Timing of a bundle's stages on this machine, by engine, precision and batch size, in a bounded time.

A batch size is offered only if an image gets the same scores in a batch as alone, because the scores for
the certificate were computed one image at a time.
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
"""For all engines, precisions, stages and batch sizes together, without the time to open the models."""
SAME_SCORES = 1e-4
"""Largest difference of a probability between an image in a batch and the same image alone."""
_COMPARED = 16
"""Largest number of images whose scores in a batch are compared with their scores alone."""
_LEAST_GAIN = 1.2
"""Factor by which a larger batch must be faster: on a CPU core the true gain is a twentieth, less than the
noise of a short timing, and a single request need not wait for others."""
_NO_GAIN = 1.25
"""If a batch costs so many times the best per image, larger batches are not timed."""
_RUNS = 5

StageSeconds = Mapping[int, float]
"""Batch size -> seconds per image."""


def time_stages(
    folder: Path,
    manifest: BundleManifest,
    keys: Sequence[EngineKey],
    *,
    seconds: float = TIMING_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> dict[EngineKey, tuple[StageSeconds, ...]]:
    """Time every stage on each of `keys`; an engine that proves unavailable is reported and omitted."""
    found = {}
    for key in keys:
        try:
            models = open_stages(folder, manifest, key)
        except EngineUnavailable as error:
            say(f"{key} is not available: {error}")
            continue
        share = seconds / (len(keys) * len(models))
        found[key] = tuple(
            time_stage(model, _images(folder, manifest, stage.preprocess), share)
            for model, stage in zip(models, manifest.stages, strict=True)
        )
    return found


def time_stage(model: OnnxModel, images: NDArray[np.float32], seconds: float) -> StageSeconds:
    """Seconds per image at each batch size that fits the time and changes no score.

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
        if found[size] > _NO_GAIN * best:
            break
    return found


def require_batch_invariance(
    folder: Path, manifest: BundleManifest, models: Sequence[OnnxModel], size: int
) -> None:
    """Raise EngineUnavailable if the certificate does not hold for batches of `size`: if a stage gives an
    image other scores in a batch than alone, or always computes images one by one."""
    for model, stage in zip(models, manifest.stages, strict=True):
        if model.one_by_one:
            raise EngineUnavailable(
                f"batch is {size}, but stage {stage.name} on {model.name} computes one image at a time; "
                "leave the batch out, or 1"
            )
        images = _images(folder, manifest, stage.preprocess)[: min(size, _COMPARED)]
        alone = [model.run(images[row : row + 1]) for row in range(len(images))]
        if not _same_scores(model.run(images), alone):
            raise EngineUnavailable(
                f"batch is {size}, but stage {stage.name} on {model.name} gives {len(images)} images other "
                "scores together than one by one, as they were certified; leave the batch out, or 1"
            )


def best_batch(timed: StageSeconds) -> int:
    """The smallest batch that is about as fast as the fastest."""
    best = min(timed.values())
    return min(size for size, seconds in timed.items() if seconds <= _LEAST_GAIN * best)


def _fastest(model: OnnxModel, batch: NDArray[np.float32], end: float) -> float:
    """Seconds per image in the fastest of a few runs, since other programs can only slow a run down."""
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
    """float32 [16, 3, H, W]: golden images, repeated if there are fewer."""
    cases = manifest.golden[: BATCH_SIZES[-1]]
    rows = [
        preprocess(decode(read_verified(folder, manifest, case.file), target=spec.size), spec)
        for case in cases
    ] or [np.zeros((3, *spec.size), dtype=np.float32)]
    return np.stack([rows[place % len(rows)] for place in range(BATCH_SIZES[-1])])
