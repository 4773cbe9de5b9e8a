"""The cascade over many images: from bytes or pixels to stage outputs or decisions.

Stage B is computed only for the images that stage A does not answer. The scores for certificates are
collected by the same code that decides (`score_all`), so a certificate holds for the code that serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bundle.engines.contract import StageModel
from bundle.images.decode import DEFAULT_LIMITS, DecodeLimits, PixelArray, decode
from bundle.images.preprocess import PreprocessSpec, decode_target, preprocess
from calibration.decision import Decision, OperatingPoint, StageCall, run_cascade, run_to_completion
from calibration.scores import StageOutputs

EncodedOrPixels = bytes | PixelArray
"""An encoded image, or its pixels from `CascadeRunner.pixels`: uint8 [H, W, 3]."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class CascadeStage:
    """A stage, ready to compute."""

    preprocess: PreprocessSpec
    model: StageModel
    macs: float = 0.0
    """Multiply-accumulates per image."""


@dataclass(frozen=True, slots=True)
class CascadeRun:
    """The decisions on n images and their cost."""

    decisions: tuple[Decision, ...]
    computed: tuple[int, ...]
    """Images computed by each stage; a stage that answers no image computes none, unless it is the last."""
    macs: float
    """Multiply-accumulates for all n images."""
    macs_without_cascade: float
    """The same if the last stage alone had computed all n images."""

    @property
    def macs_saved(self) -> float:
        """Share of the work that the cascade saved; negative if it cost more than its last stage alone."""
        return 1.0 - self.macs / self.macs_without_cascade if self.macs_without_cascade > 0 else 0.0


class CascadeRunner:
    """One or two stages and, for deciding, an operating point.

    `threads` chunks of `batch_size` images run at a time, each from decoding to decision. The default is
    one image per batch, as a CPU serves: larger batches are no faster there, and with dynamic
    quantisation the scores of an image depend on the other images of its batch. Threads may share a
    runner. Raises ValueError.
    """

    def __init__(
        self,
        stages: Sequence[CascadeStage],
        point: OperatingPoint | None = None,
        *,
        limits: DecodeLimits = DEFAULT_LIMITS,
        threads: int = 1,
        batch_size: int = 1,
    ) -> None:
        if len(stages) not in (1, 2):
            raise ValueError(f"a cascade has one or two stages, not {len(stages)}")
        if point is not None and len(point.stages) != len(stages):
            raise ValueError(f"the operating point has {len(point.stages)} stages, the cascade {len(stages)}")
        if threads < 1 or batch_size < 1:
            raise ValueError(f"threads is {threads}, batch_size {batch_size}; both must be at least 1")
        self.stages = tuple(stages)
        self.point = point
        self.limits = limits
        self.threads = threads
        self.batch_size = batch_size
        self._target = decode_target(stage.preprocess for stage in stages)

    def pixels(self, encoded: bytes) -> PixelArray:
        """The pixels that every stage needs. Raises an `ImageError`."""
        return decode(encoded, self.limits, self._target)

    def score(self, stage_index: int, images: Sequence[EncodedOrPixels]) -> StageOutputs:
        """Raw outputs of one stage for n images: logits float64 [n, K], gate float64 [n] or None."""
        stage = self.stages[stage_index]
        return concatenated(self._in_chunks(images, lambda pixels: compute_stage(stage, pixels)))

    def score_all(self, images: Sequence[EncodedOrPixels]) -> list[StageOutputs]:
        """Raw outputs of every stage for n images, each image decoded once."""
        by_chunk = self._in_chunks(
            images, lambda pixels: [compute_stage(stage, pixels) for stage in self.stages]
        )
        return [concatenated(list(parts)) for parts in zip(*by_chunk, strict=True)]

    def decide(self, images: Sequence[EncodedOrPixels]) -> list[Decision]:
        """The decision on each image."""
        return list(self.run(images).decisions)

    def run(self, images: Sequence[EncodedOrPixels]) -> CascadeRun:
        """The decision on each image and the cost of all."""
        point = self.point
        if point is None:
            raise ValueError("this runner has no operating point: it scores, but cannot decide")
        by_chunk = self._in_chunks(images, lambda pixels: self._decide_chunk(pixels, point))
        decisions = tuple(decision for chunk, _ in by_chunk for decision in chunk)
        computed = tuple(map(sum, zip(*(counts for _, counts in by_chunk), strict=True)))
        spent = sum(count * stage.macs for count, stage in zip(computed, self.stages, strict=True))
        return CascadeRun(decisions, computed, spent, len(decisions) * self.stages[-1].macs)

    def _decide_chunk(
        self, pixels: Sequence[PixelArray], point: OperatingPoint
    ) -> tuple[list[Decision], list[int]]:
        """(decisions, images computed by each stage)"""
        computed = [0] * len(self.stages)

        def compute(call: StageCall) -> StageOutputs:
            computed[call.stage] += len(call.rows)
            return compute_stage(self.stages[call.stage], [pixels[row] for row in call.rows])

        return run_to_completion(run_cascade(point, len(pixels)), compute), computed

    def _in_chunks(
        self, images: Sequence[EncodedOrPixels], work: Callable[[Sequence[PixelArray]], _Result]
    ) -> list[_Result]:
        if not images:
            raise ValueError("no images: at least one is needed")

        def decode_and_work(start: int) -> _Result:
            chunk = images[start : start + self.batch_size]
            return work([self.pixels(image) if isinstance(image, bytes) else image for image in chunk])

        starts = range(0, len(images), self.batch_size)
        if self.threads == 1:
            return [decode_and_work(start) for start in starts]
        with ThreadPoolExecutor(self.threads, thread_name_prefix="cascade") as pool:
            return list(pool.map(decode_and_work, starts))


def compute_stage(stage: CascadeStage, pixels: Sequence[PixelArray]) -> StageOutputs:
    """Raw outputs of a stage for n >= 1 images, in one call of its engine."""
    batch = np.empty((len(pixels), 3, *stage.preprocess.size), dtype=np.float32)
    for row, image in enumerate(pixels):
        preprocess(image, stage.preprocess, out=batch[row])
    return stage.model.run(batch)


def concatenated(parts: Sequence[StageOutputs]) -> StageOutputs:
    """The outputs of one stage for several parts, in order; at least one part."""
    gates = [part.gate for part in parts if part.gate is not None]
    return StageOutputs(
        np.concatenate([part.logits for part in parts]), np.concatenate(gates) if gates else None
    )
