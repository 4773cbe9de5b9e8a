"""Calibration and accuracy of predicted probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import FloatArray, IntArray

Binning = Literal["equal-width", "equal-mass"]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Calibration curve: predicted and observed frequency per bin, without empty bins."""

    predicted: FloatArray
    """[b], mean predicted probability"""
    observed: FloatArray
    """[b], observed frequency"""
    count: IntArray
    """[b]"""


def reliability(
    predicted: ArrayLike, outcome: ArrayLike, bins: int = 15, binning: Binning = "equal-width"
) -> Reliability:
    """Calibration curve of `predicted` [n] in [0, 1] against `outcome` [n], True if the event occurred."""
    p = np.asarray(predicted, dtype=np.float64)
    occurred = np.asarray(outcome, dtype=np.float64)
    if p.ndim != 1 or p.shape != occurred.shape or len(p) == 0:
        raise ValueError(
            f"predicted has shape {p.shape} and outcome {occurred.shape}; both must be one-dimensional, of "
            "one length and not empty"
        )
    if not (np.all(p >= 0.0) and np.all(p <= 1.0)):
        raise ValueError("predicted holds values outside [0, 1]; probabilities are needed")
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be at least 1")
    match binning:
        case "equal-width":
            bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
        case "equal-mass":
            inner_edges = np.quantile(p, np.arange(1, bins) / bins)
            bin_of = np.searchsorted(inner_edges, p, side="right")
        case _:
            raise ValueError(f"binning is {binning!r}; it must be 'equal-width' or 'equal-mass'")
    count = np.bincount(bin_of, minlength=bins)
    used = count > 0
    return Reliability(
        predicted=np.bincount(bin_of, weights=p, minlength=bins)[used] / count[used],
        observed=np.bincount(bin_of, weights=occurred, minlength=bins)[used] / count[used],
        count=count[used].astype(np.int64),
    )


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, bins: int = 15, binning: Binning = "equal-width"
) -> float:
    """Mean distance between the confidence in the most probable label and its accuracy, in [0, 1].

    Top-label ECE (Guo et al., arXiv 1706.04599, eq. 3). `probabilities` [n, K], `labels` [n] in 0..K-1.
    """
    p, true = _checked(probabilities, labels)
    curve = reliability(p.max(axis=1), p.argmax(axis=1) == true, bins, binning)
    return float(np.sum(curve.count * np.abs(curve.predicted - curve.observed)) / len(true))


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Brier score; lower is better. `probabilities` [n, K], `labels` [n] in 0..K-1.

    For two classes the mean of (p(1) - y)^2, in [0, 1]; for more, the mean over images of the sum over
    classes, in [0, 2]. These are the usual conventions, and for two classes the sum would be twice that.
    """
    p, true = _checked(probabilities, labels)
    rows = np.arange(len(true))
    # sum_k (p_k - 1[k = y])^2 = sum_k p_k^2 - 2 p_y + 1
    total = float(np.mean(np.einsum("nk,nk->n", p, p) - 2.0 * p[rows, true] + 1.0))
    return total / 2 if p.shape[1] == 2 else total


def nll(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log likelihood in nats; lower is better. Parameters as for `brier`.

    A probability of 0 counts as the smallest positive number (708 nats), so that the mean stays finite.
    """
    p, true = _checked(probabilities, labels)
    of_label = np.maximum(p[np.arange(len(true)), true], np.finfo(np.float64).tiny)
    return float(-np.mean(np.log(of_label)))


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, IntArray]:
    p = np.asarray(probabilities, dtype=np.float64)
    true = np.asarray(labels)
    if p.ndim != 2 or p.shape[1] < 2 or true.shape != p.shape[:1] or len(p) == 0:
        raise ValueError(
            f"probabilities has shape {p.shape} and labels {true.shape}; they must be [n, K] with K >= 2 and "
            "[n], and not empty"
        )
    if not (np.all(p >= 0.0) and np.allclose(p.sum(axis=1), 1.0, atol=1e-4)):
        raise ValueError("probabilities must be at least 0 and sum to 1 in every row")
    if true.dtype.kind not in "iub" or true.min() < 0 or true.max() >= p.shape[1]:
        raise ValueError(f"labels must be integers in 0..{p.shape[1] - 1}")
    return p, true.astype(np.int64)
