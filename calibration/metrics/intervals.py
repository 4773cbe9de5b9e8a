"""Intervals of the figures of a confusion matrix, in closed form, for display beside them."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibration.metrics.classification import confusion_mcc, wilson_interval
from calibration.scores import FloatArray

_ADDED: Final = 2.0
"""Counts added in all, half a one per cell of two classes, before a variance is estimated."""


def mcc_interval(matrix: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of the Matthews correlation from counts `matrix` [K, K], in [-1, 1].

    Wilson's interval of the share (1 + MCC) / 2 at its effective sample size, the number of trials at which a
    share has the variance that the delta method gives the correlation (Itaya et al., arXiv 2405.12622; for
    more than two classes of Gorodkin's R_K). So a window without an error has an interval as well, and of two
    classes that are equally frequent and equally often mistaken it is Wilson's interval of the accuracy. It
    is (-1, 1) where labels or predictions are of one class only.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    if np.count_nonzero(true) < 2 or np.count_nonzero(predicted) < 2:
        return -1.0, 1.0
    seen = np.flatnonzero(true + predicted)
    smoothed = counts[np.ix_(seen, seen)] + _ADDED / len(seen) ** 2
    value, variance = _mcc_and_variance(smoothed / smoothed.sum())
    effective = float(counts.sum()) * (1.0 - value * value) / variance
    low, high = wilson_interval(effective * (1.0 + confusion_mcc(counts)) / 2, effective, level)
    return 2 * low - 1, 2 * high - 1


def mean_of_shares(
    hits: Sequence[int], trials: Sequence[int], level: float = 0.95
) -> tuple[float | None, float, float]:
    """Mean of shares seen `hits[k]` times in `trials[k]`, and its two-sided interval: (mean, low, high).

    Shares without a trial are left out; (None, 0, 1) if none has one. The interval puts the Wilson intervals
    of the shares together (MOVER: Zou and Donner, Statistics in Medicine 27, 2008), so one share gets its
    own. The shares count as independent; it is too wide where they are negatively correlated.
    """
    seen = [(hit, n) for hit, n in zip(hits, trials, strict=True) if n]
    if not seen:
        return None, 0.0, 1.0
    shares = [hit / n for hit, n in seen]
    bounds = [wilson_interval(hit, n, level) for hit, n in seen]
    mean = sum(shares) / len(seen)
    below = sqrt(sum((share - low) ** 2 for share, (low, _) in zip(shares, bounds, strict=True)))
    above = sqrt(sum((high - share) ** 2 for share, (_, high) in zip(shares, bounds, strict=True)))
    return mean, max(0.0, mean - below / len(seen)), min(1.0, mean + above / len(seen))


def mcc_and_gradient(shares: FloatArray) -> tuple[float, FloatArray]:
    """Matthews correlation at cell probabilities [K, K] (row = label), and its gradient [K, K].

    Labels and predictions must both be of two classes or more.
    """
    true, predicted = shares.sum(axis=1), shares.sum(axis=0)
    spread_true, spread_predicted = 1.0 - true @ true, 1.0 - predicted @ predicted
    scale = sqrt(spread_true * spread_predicted)
    value = float((np.trace(shares) - true @ predicted) / scale)
    by_row = value * true / spread_true
    by_column = value * predicted / spread_predicted
    gradient = (np.eye(len(shares)) - predicted[:, None] - true[None, :]) / scale
    gradient += by_row[:, None] + by_column[None, :]
    return value, gradient


def _mcc_and_variance(shares: FloatArray) -> tuple[float, float]:
    """Matthews correlation at cell probabilities [K, K] (row = label), and its variance times n."""
    value, gradient = mcc_and_gradient(shares)
    mean = float((shares * gradient).sum())
    return value, float((shares * (gradient - mean) ** 2).sum())
