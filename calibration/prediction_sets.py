"""Prediction sets {k : p_k >= threshold}, and conformal thresholds for them.

The *critical threshold* of an image is the point at which its loss turns from 0 to 1: the loss at threshold t
is 1[critical < t]. Every loss here grows with the threshold, that is, shrinks as the sets grow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import BoolArray, FloatArray, IntArray


def prediction_sets(probabilities: ArrayLike, thresholds: ArrayLike) -> BoolArray:
    """Membership [n, K] of class k in the set of each image: p_k >= threshold of class k.

    `probabilities` [n, K]; `thresholds` one number, or [K] for class-conditional sets.
    """
    return np.asarray(np.asarray(probabilities, dtype=np.float64) >= np.asarray(thresholds), dtype=np.bool_)


def critical_for_set(probabilities: FloatArray, labels: IntArray) -> FloatArray:
    """Critical threshold [n] of the loss "the label is not in the set": p of the label."""
    return np.asarray(probabilities[np.arange(len(labels)), labels], dtype=np.float64)


def critical_for_answer(probabilities: FloatArray, labels: IntArray) -> FloatArray:
    """Critical threshold [n] of the loss "the set is one label, and the wrong one".

    When the second most probable label leaves the set, the most probable one becomes the answer. An empty set
    counts as that answer too, although it abstains: otherwise the loss would not be monotone. Infinite if
    the most probable label is right.
    """
    second = np.partition(probabilities, -2, axis=1)[:, -2]
    return np.where(probabilities.argmax(axis=1) == labels, np.inf, second)


def allowed_losses(alpha: float, m: int) -> int:
    """How many losses among m exchangeable points keep the next one's expected loss at most alpha.

    floor((m + 1) alpha) - 1 (conformal risk control, arXiv 2208.02814, theorem 1, for losses 0 and 1);
    -1 if m is below ceil(1 / alpha) - 1 and nothing can be promised. `alpha` is read as a decimal number,
    because 0.29 * 100 is below 29 in binary.
    """
    return math.floor((m + 1) * Fraction(repr(float(alpha)))) - 1


def largest_threshold(critical: FloatArray, alpha: float) -> float | None:
    """The largest threshold (smallest sets) whose expected loss on the next point is at most alpha.

    `critical` [m] of exchangeable points. None if m is too small; infinite if no threshold has more losses
    than allowed.
    """
    allowed = allowed_losses(alpha, len(critical))
    if allowed < 0:
        return None
    return float(np.partition(critical, allowed)[allowed])


def conformal_threshold(probabilities: ArrayLike, labels: ArrayLike, alpha: float) -> float:
    """Threshold of sets that hold the label of the next image with probability >= 1 - alpha.

    Split conformal prediction with the least ambiguous sets (Sadinle et al., arXiv 1609.00451). In
    expectation over calibration draws; `probabilities` [n, K], `labels` [n] in 0..K-1, exchangeable with
    future images. 0 (all labels) if n is below ceil(1 / alpha) - 1.
    """
    p, true = read_probabilities(probabilities, labels)
    check_alpha(alpha)
    found = largest_threshold(critical_for_set(p, true), alpha)
    return 0.0 if found is None else found


def class_conditional_thresholds(probabilities: ArrayLike, labels: ArrayLike, alpha: float) -> FloatArray:
    """Thresholds [K] of sets that hold the label with probability >= 1 - alpha *for each label*.

    Mondrian conformal prediction (Vovk et al., 2005, section 4.5): class k is a member if p_k is at
    least the threshold from calibration images of class k. 0 for a class with too few of them.
    """
    p, true = read_probabilities(probabilities, labels)
    check_alpha(alpha)
    critical = critical_for_set(p, true)
    found = (largest_threshold(critical[true == k], alpha) for k in range(p.shape[1]))
    return np.array([0.0 if threshold is None else threshold for threshold in found])


@dataclass(frozen=True, slots=True)
class SetReport:
    """Risk and size of prediction sets on labelled images; shares of nothing are NaN."""

    n: int
    accepted: int
    answered: int
    """Accepted with a set of one label"""
    set_risk: float
    """Share of the accepted images whose label is not in the set"""
    answer_risk: float
    """Share of the answered images that is answered wrongly. Sets of several labels, which cannot be wrong
    answers, dilute `set_risk` below it."""
    mean_set_size: float
    """Over the accepted images"""
    share_by_size: tuple[float, ...]
    """[K + 1], share of the accepted images with a set of 0, 1, .. K labels"""

    @property
    def coverage(self) -> float:
        """Share of all images that is answered"""
        return self.answered / self.n


def set_report(sets: BoolArray, accepted: BoolArray, labels: IntArray) -> SetReport:
    """Report on `sets` [n, K], `accepted` [n] (selected by the confidence), `labels` [n] in 0..K-1."""
    kept, true = sets[accepted], labels[accepted]
    sizes = kept.sum(axis=1)
    inside = kept[np.arange(len(true)), true]
    single = sizes == 1
    by_size = np.bincount(sizes, minlength=sets.shape[1] + 1)
    m, answered = len(true), int(single.sum())
    return SetReport(
        n=len(labels),
        accepted=m,
        answered=answered,
        set_risk=float(np.mean(~inside)) if m else math.nan,
        answer_risk=float(np.mean(~inside[single])) if answered else math.nan,
        mean_set_size=float(sizes.mean()) if m else math.nan,
        share_by_size=tuple(float(count) / m if m else math.nan for count in by_size),
    )


def read_probabilities(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, IntArray]:
    """Probabilities float64 [n, K >= 2] and labels int64 [n] in 0..K-1; ValueError for anything else."""
    p, true = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if p.ndim != 2 or p.shape[1] < 2 or true.shape != p.shape[:1]:
        raise ValueError(
            f"probabilities has shape {p.shape} and labels {true.shape}; they must be [n, K >= 2] and [n]"
        )
    if not (np.all(p >= 0.0) and np.all(p <= 1.0)):
        raise ValueError("probabilities holds values outside [0, 1], or NaN")
    if len(true) and (true.dtype.kind not in "iub" or true.min() < 0 or true.max() >= p.shape[1]):
        raise ValueError(f"labels must be integers in 0..{p.shape[1] - 1}")
    return p, true.astype(np.int64)


def check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha!r}; it must lie strictly between 0 and 1")
