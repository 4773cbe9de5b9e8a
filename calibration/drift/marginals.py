"""Tests of one signal: has its distribution moved between two samples?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.scores import FloatArray, IntArray

PSI_BINS = 10
"""Bins of the population stability index, at deciles of the reference"""
_SMOOTHING = 0.5
"""Images added to each bin, so that an empty one has a finite logarithm"""


def ks_statistic(reference: FloatArray, current: FloatArray) -> float:
    """Largest distance of the two empirical distributions, of finite values [m >= 1] and [n >= 1]."""
    left, right = np.sort(reference), np.sort(current)
    points = np.concatenate([left, right])
    below = np.searchsorted(left, points, side="right") / len(left)
    here = np.searchsorted(right, points, side="right") / len(right)
    return float(np.abs(below - here).max())


def ks_p_value(statistic: float, m: int, n: int) -> float:
    """Upper bound of P(D >= statistic) for two samples of m and n images of one distribution.

    2 exp(-2 D^2 m n / (m + n)), the two-sample Dvoretzky-Kiefer-Wolfowitz bound (Wei and Dudley, Statistics
    & Probability Letters 82, 2012). It is the first term of Kolmogorov's series, so it is nearly exact for
    the small values that matter, and it holds with ties.
    """
    return min(1.0, 2.0 * float(np.exp(-2.0 * statistic**2 * m * n / (m + n))))


def category_p_value(reference: IntArray, current: IntArray) -> float:
    """P value of the two-sided exact test of Fisher for categories, [m >= 1] and [n >= 1].

    With more than two categories, the smallest of one test per category against the others, times their
    number (Bonferroni).
    """
    found = np.unique(np.concatenate([reference, current]))
    if len(found) < 2:
        return 1.0
    tested = found[1:] if len(found) == 2 else found
    each = [
        _fisher(int((reference == one).sum()), len(reference), int((current == one).sum()), len(current))
        for one in tested.tolist()
    ]
    return min(1.0, min(each) * len(each))


def holm(p_values: FloatArray) -> FloatArray:
    """P values [k] adjusted for k tests at once (Holm, Scandinavian Journal of Statistics 6, 1979).

    Rejecting those of at most alpha keeps the probability of any false rejection at alpha, whatever the tests
    have to do with each other.
    """
    order = np.argsort(p_values, kind="stable")
    stepped = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped)) if len(order) else stepped
    return adjusted


def number_psi(reference: FloatArray, current: FloatArray) -> float:
    """Population stability index of finite values [m >= 1] and [n >= 1], over deciles of the reference.

    Descriptive: no threshold has a known error rate. Equal deciles are one bin.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0.0, 1.0, PSI_BINS + 1)[1:-1]))
    bins = len(edges) + 1
    # Values on an edge belong below it, so a reference without spread has two bins: up to it, and above.
    return _psi(
        np.bincount(np.searchsorted(edges, reference, side="left"), minlength=bins),
        np.bincount(np.searchsorted(edges, current, side="left"), minlength=bins),
    )


def category_psi(reference: IntArray, current: IntArray) -> float:
    """Population stability index of categories, [m >= 1] and [n >= 1]."""
    found = np.unique(np.concatenate([reference, current]))
    counts = [np.bincount(np.searchsorted(found, one), minlength=len(found)) for one in (reference, current)]
    return _psi(counts[0], counts[1])


def _psi(expected: NDArray[np.int64], observed: NDArray[np.int64]) -> float:
    shares = [(counts + _SMOOTHING) / (counts + _SMOOTHING).sum() for counts in (expected, observed)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _fisher(of_first: int, first: int, of_second: int, second: int) -> float:
    """Sum of the probabilities of all tables with these margins that are at most as likely as this one."""
    hits, total = of_first + of_second, first + second
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])

    def log_choose(n: int, k: NDArray[np.int64]) -> FloatArray:
        return np.asarray(log_factorial[n] - log_factorial[k] - log_factorial[n - k], dtype=np.float64)

    possible = np.arange(max(0, hits - second), min(first, hits) + 1)
    logs = log_choose(first, possible) + log_choose(second, hits - possible)
    logs -= logs.max()
    weights = np.exp(logs)
    here = weights[of_first - possible[0]]
    return float(weights[weights <= here * (1.0 + 1e-9)].sum() / weights.sum())
