"""The path of a cascade, planned on the selection split before any calibration label is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calibration.cascade import CascadeScores
from calibration.certificate import RiskTarget
from calibration.decision import answers
from calibration.planning import fit_error_curve
from calibration.scores import FloatArray

PATH_POINTS = 400
"""Coverages at which a pair is planned."""
STAGE_A_POINTS = 80
"""Thresholds of stage A that are tried at each coverage."""
FIRST_ANSWERED = 400
"""The path starts at this many planned answers, below the 473 at which the walk begins by default."""


def plan_cascade(
    confidence_a: ArrayLike,
    errors_a: ArrayLike,
    confidence_b: ArrayLike,
    errors_b: ArrayLike,
    cost_a: float,
    cost_b: float,
    n_calibration: int,
    target: RiskTarget,
    slack: float = 1.2,
) -> FloatArray:
    """Pairs (t_a, t_b) [T, 2] for `certify_cascade`, from both stages' scores [n] on val_select.

    For each of `PATH_POINTS` coverages, of all pairs that answer so many selection images, those with
    at most `slack` times the least number of planned errors are kept, and the cheapest of them is
    taken. Planned errors come from one fitted error curve a stage (`fit_error_curve`), not from the
    few errors that were seen. slack = 1 plans for coverage alone; more trades a little coverage for
    compute.
    """
    scores = CascadeScores.read(confidence_a, errors_a, confidence_b, errors_b)
    n = len(scores)
    if n == 0:
        raise ValueError("the selection split is empty; a path is planned on its confidences")
    if not slack >= 1.0:
        raise ValueError(f"slack is {slack!r}; it must be at least 1")
    if not (cost_a >= 0.0 and cost_b >= 0.0):
        raise ValueError(f"costs are {cost_a!r} and {cost_b!r}; they must not be negative")
    first = min(1.0, FIRST_ANSWERED / max(n_calibration, 1))
    answered = np.unique(np.linspace(first * n, n, PATH_POINTS).round().astype(np.int64).clip(1, n))
    thresholds_a = _stage_a_grid(scores.confidence_a)
    curve_a = fit_error_curve(scores.confidence_a, scores.wrong_a)
    curve_b = fit_error_curve(scores.confidence_b, scores.wrong_b)
    by_b_order = np.argsort(-scores.confidence_b, kind="stable")

    planned = np.full((len(thresholds_a), len(answered)), np.inf)
    thresholds_b = np.full(planned.shape, np.inf)
    costs = np.empty(len(thresholds_a))
    for row, threshold in enumerate(thresholds_a):
        by_a = answers(scores.confidence_a, float(threshold))
        left = by_b_order[~by_a[by_b_order]]
        errors_of_b = np.concatenate([[0.0], np.cumsum(curve_b[left])])
        by_b = answered - int(by_a.sum())
        possible = by_b >= 0
        planned[row, possible] = curve_a[by_a].sum() + errors_of_b[by_b[possible]]
        some = by_b > 0
        thresholds_b[row, some] = scores.confidence_b[left[by_b[some] - 1]]
        costs[row] = (cost_a if by_a.any() else 0.0) + cost_b * len(left) / n
    least = planned.min(axis=0)
    good_enough = planned <= slack * least
    # The cheapest that is good enough; of equally cheap ones, the one with fewer planned errors.
    rank = np.lexsort((planned, np.where(good_enough, costs[:, None], np.inf)), axis=0)[0]
    column = np.arange(len(answered))
    pairs = np.stack([thresholds_a[rank], thresholds_b[rank, column]], axis=1)
    changed = np.ones(len(pairs), dtype=np.bool_)
    changed[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return np.asarray(pairs[changed], dtype=np.float64)


def _stage_a_grid(confidence: FloatArray) -> FloatArray:
    """+inf (A answers nothing), then quantiles of A's confidences down to the lowest."""
    descending = np.sort(confidence)[::-1]
    ranks = np.unique(np.linspace(1, len(descending), STAGE_A_POINTS).astype(np.int64)) - 1
    return np.concatenate([[np.inf], np.unique(descending[ranks])[::-1]])
