"""Expected performance without labels, from the probabilities that the model states."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt
from typing import Final

import numpy as np

from calibration.scores import BoolArray, FloatArray

ASSUMPTION: Final = "if the probabilities still mean what they did"
"""What confidence-based estimation assumes; it cannot see labels that have changed their meaning"""
_QUANTILE: Final = 1.959964
"""Of the normal distribution, for 95 %"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of n images with its 95 % interval, of the sampling alone."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class ExpectedPerformance:
    """Confidence-based performance estimation (CBPE)."""

    accuracy: Estimate | None
    """Of all images forced to an answer; None without images"""
    risk: Estimate | None
    """Share of wrong answers among the answered; None if nothing was answered"""


def expected_performance(right: FloatArray, answered: BoolArray) -> ExpectedPerformance:
    """Accuracy and risk that the stated probabilities imply.

    `right` [n]: probability that the most probable label is right; NaN is left out. `answered` [n]. An image
    of probability p is right with probability p if the probabilities are calibrated, and that is all that
    this assumes (Guo et al., arXiv 1706.04599; Garg et al., arXiv 2201.04234, on what shifts break it).
    """
    known = np.isfinite(right)
    return ExpectedPerformance(_estimate(right[known]), _estimate(1.0 - right[known & answered]))


def pooled(first: Estimate | None, second: Estimate | None) -> Estimate | None:
    """The mean of all images of two samples; None if neither has any."""
    if first is None or second is None:
        return first or second
    n = first.n + second.n
    value = (first.n * first.value + second.n * second.value) / n
    half = hypot(*(one.n * 0.5 * (one.high - one.low) for one in (first, second))) / n
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), n)


def contradicts(expected: Estimate, audited: tuple[float, float]) -> bool:
    """Whether an expected figure and an audited interval (low, high) exclude each other."""
    low, high = audited
    return expected.high < low or expected.low > high


def _estimate(values: FloatArray) -> Estimate | None:
    n = len(values)
    if n == 0:
        return None
    mean = float(values.mean())
    half = _QUANTILE * float(values.std(ddof=1)) / sqrt(n) if n > 1 else 1.0
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), n)
