"""Model outputs and the confidence scores computed from them.

A score maps the outputs of one stage to a confidence, float64 [n], higher for more certain images. A
certificate depends on the ranking alone; the scale is kept readable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StageOutputs:
    """Outputs of one stage for n images."""

    logits: FloatArray
    """[n, K]"""
    gate: FloatArray | None = None
    """[n], logit of P(correct | x) from the gate head; None for a model without one."""

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, rows: BoolArray | IntArray | slice) -> StageOutputs:
        """The outputs of some of the images."""
        return StageOutputs(self.logits[rows], None if self.gate is None else self.gate[rows])


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Raw outputs of one stage on labelled images, as collected on the serving path."""

    outputs: StageOutputs
    labels: IntArray
    """[n], values in 0..K-1"""
    groups: NDArray[np.str_] | None = None
    """[n]; images of one group (drive, track, burst) are dependent on each other"""

    def __post_init__(self) -> None:
        n = len(self.outputs)
        if self.labels.shape != (n,):
            raise ValueError(f"labels has shape {self.labels.shape}; the scores need ({n},)")
        if self.groups is not None and self.groups.shape != (n,):
            raise ValueError(f"groups has shape {self.groups.shape}; the scores need ({n},)")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: BoolArray | IntArray) -> ScoreTable:
        """The table of some of the images."""
        groups = None if self.groups is None else self.groups[rows]
        return ScoreTable(self.outputs.take(rows), self.labels[rows], groups)


def softmax(logits: FloatArray) -> FloatArray:
    """Softmax over the last axis in float64, [n, K] -> [n, K]."""
    # The ufuncs directly: array methods reach them through Python, which is measurable for one image.
    shifted = np.exp(logits - np.maximum.reduce(logits, axis=-1, keepdims=True))
    return np.asarray(shifted / np.add.reduce(shifted, axis=-1, keepdims=True), dtype=np.float64)


def max_softmax(outputs: StageOutputs) -> FloatArray:
    """Largest softmax probability, in [1/K, 1] (Hendrycks and Gimpel, arXiv 1610.02136)."""
    return np.asarray(softmax(outputs.logits).max(axis=-1), dtype=np.float64)


def logit_margin(outputs: StageOutputs) -> FloatArray:
    """Largest minus second largest logit, in [0, inf).

    For two classes it ranks like `max_softmax`, without the ties of a saturated softmax.
    """
    top_two = np.partition(outputs.logits, -2, axis=-1)[..., -2:]
    return np.asarray(top_two[..., 1] - top_two[..., 0], dtype=np.float64)


def gate_probability(outputs: StageOutputs) -> FloatArray:
    """P(correct | x) from the gate head, in (0, 1) (SelectiveNet, arXiv 1901.09192)."""
    if outputs.gate is None:
        raise ValueError("score 'gate' needs a model with a gate output; this one has none")
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(outputs.gate, -500.0, 500.0))), dtype=np.float64)


ScoreFunction = Callable[[StageOutputs], FloatArray]

SCORES: Mapping[str, ScoreFunction] = MappingProxyType(
    {"softmax": max_softmax, "margin": logit_margin, "gate": gate_probability}
)


def score_by_name(name: str) -> ScoreFunction:
    """The score with the name that a config or bundle states; ValueError lists the known names."""
    try:
        return SCORES[name]
    except KeyError:
        raise ValueError(f"score is {name!r}; it must be one of {', '.join(SCORES)}") from None
