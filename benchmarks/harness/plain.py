"""Plain loop: decode, preprocess, session and a comparison, nothing else. The limit of the hardware.

The raw loop and every peer run this code, so that they differ only in what surrounds it. A peer may also
serve the last stage alone, as a server without a cascade would.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from bundle.engines.contract import StageModel
from bundle.engines.model import open_model
from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec, decode_target, preprocess
from bundle.loader import load_bundle
from bundle.system.malloc import IMAGE_BYTES, keep_freed_memory

SERVES = "BENCH_SERVES"
LAST_STAGE = "last stage"
"""Environment variable of a peer, and its value for `LastStage`; without it a peer serves `PlainCascade`."""


@dataclass(frozen=True, slots=True)
class PlainStage:
    """A session and the smallest margin at which its answer counts."""

    spec: PreprocessSpec
    model: StageModel
    threshold: float

    @classmethod
    def open(cls, model: bytes, spec: PreprocessSpec, threshold: float) -> Self:
        return cls(spec, open_model(model, image_size=spec.size), threshold)


@dataclass(frozen=True, slots=True)
class PlainAnswer:
    label: int
    stage: str
    margin: float

    def to_dict(self) -> dict[str, object]:
        return {"label": self.label, "stage": self.stage, "margin": round(self.margin, 4)}


class PlainCascade:
    """Cascade of one or two stages on one thread."""

    def __init__(self, stages: Sequence[PlainStage]) -> None:
        self._stages = tuple(stages)
        self._target = decode_target(stage.spec for stage in stages)
        self._batches = [np.empty((1, 3, *stage.spec.size), dtype=np.float32) for stage in stages]

    @classmethod
    def of(cls, bundle: Path) -> Self:
        """The stages of a bundle whose scores are margins."""
        # As in the service: otherwise page faults would slow peers at random.
        keep_freed_memory(IMAGE_BYTES)
        loaded = load_bundle(bundle)
        stages = zip(loaded.manifest.stages, loaded.models, loaded.operating_point.stages, strict=True)
        return cls(
            [PlainStage(stage.preprocess, model, rule.threshold or 0.0) for stage, model, rule in stages]
        )

    def answer(self, encoded: bytes) -> PlainAnswer:
        """Answer to an encoded image: of stage A if its margin is large enough, else of the last stage."""
        pixels = decode(encoded, target=self._target)
        for index, stage in enumerate(self._stages):
            logits = self._logits(index, pixels)
            margin = float(abs(logits[1] - logits[0]))
            if margin >= stage.threshold:
                break
        return PlainAnswer(int(logits[1] > logits[0]), "AB"[index], margin)

    def margins(self, encoded: bytes) -> list[float]:
        """Margin of every stage."""
        pixels = decode(encoded, target=self._target)
        logits = [self._logits(index, pixels) for index in range(len(self._stages))]
        return [float(abs(pair[1] - pair[0])) for pair in logits]

    def _logits(self, index: int, pixels: np.ndarray) -> np.ndarray:
        stage, batch = self._stages[index], self._batches[index]
        preprocess(pixels, stage.spec, out=batch[0])
        return stage.model.run(batch).logits[0]


class LastStage:
    """The last stage of a bundle on every image, without a threshold."""

    def __init__(self, stage: PlainStage) -> None:
        self._stage = stage
        self._batch = np.empty((1, 3, *stage.spec.size), dtype=np.float32)

    @classmethod
    def of(cls, bundle: Path) -> Self:
        keep_freed_memory(IMAGE_BYTES)
        loaded = load_bundle(bundle)
        return cls(PlainStage(loaded.manifest.stages[-1].preprocess, loaded.models[-1], 0.0))

    def answer(self, encoded: bytes) -> PlainAnswer:
        """The most likely class of an encoded image."""
        preprocess(decode(encoded, target=self._stage.spec.size), self._stage.spec, out=self._batch[0])
        logits = self._stage.model.run(self._batch).logits[0]
        second, first = np.sort(logits)[-2:]
        return PlainAnswer(int(logits.argmax()), "B", float(first - second))


class Answering(Protocol):
    def answer(self, encoded: bytes) -> PlainAnswer: ...


def served_by_a_peer() -> Answering:
    """What the environment of a peer says that it serves."""
    bundle = Path(os.environ["BENCH_BUNDLE"])
    return LastStage.of(bundle) if os.environ.get(SERVES) == LAST_STAGE else PlainCascade.of(bundle)
