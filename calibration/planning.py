"""The order of thresholds, planned on the selection split before any calibration label is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from calibration.bounds import milestones, most_errors
from calibration.certificate import RiskTarget
from calibration.fixed_sequence import testable
from calibration.inputs import read_scores
from calibration.scores import BoolArray, FloatArray

GRID_POINTS = 1000
"""A coarse grid costs power (40 points: .01 of coverage), a fine one nothing."""

_LATEST_START = 3
"""The walk starts where one error is allowed, or at up to this many more, if that is planned to pay."""
_WORTH = 0.004
"""Planned gain in coverage below which a later start is not worth the risk that the plan is wrong."""
_PLANNED_RANKS = 4000
"""Where the calibration split is larger, the start does not matter."""


def plan_thresholds(
    confidence: ArrayLike,
    errors: ArrayLike,
    n_calibration: int,
    target: RiskTarget,
    *,
    first_answered: int | None = None,
) -> FloatArray:
    """Thresholds [T], strict to loose, for `certify`, from confidence [n] and errors [n] of val_select.

    They are quantiles of the selection confidences (so the plan follows any increasing transform of
    the score), at most `GRID_POINTS`. The first is strict enough for the rank start of `certify`,
    unless an error curve fitted here plans more coverage on `n_calibration` independent units from a
    later start. `first_answered` fixes the start instead: the first threshold is planned to answer
    that many calibration units (about 500 for `certify(..., method="grid")`).
    """
    scores, wrong = read_scores(confidence, errors)
    n = len(scores)
    if n == 0:
        raise ValueError("the selection split is empty; thresholds are planned on its confidences")
    if n_calibration < 0:
        raise ValueError(f"n_calibration is {n_calibration}; it must not be negative")
    order = np.argsort(-scores, kind="stable")
    if first_answered is None:
        share = _planned_start(wrong[order], n_calibration, target)
    else:
        share = first_answered / max(n_calibration, 1)
    ranks = np.unique(np.linspace(min(share, 1.0) * n, n, GRID_POINTS).astype(np.int64).clip(1, n))
    return np.asarray(np.unique(scores[order[ranks - 1]])[::-1], dtype=np.float64)


def rank_scale(confidence: FloatArray) -> FloatArray:
    """Normal scores of the ranks of confidence [n], ties at their mid-rank: on this scale a fit does not
    depend on the units of the score."""
    ascending = np.sort(confidence)
    low = np.searchsorted(ascending, confidence, side="left")
    high = np.searchsorted(ascending, confidence, side="right")
    return np.asarray(special.ndtri(0.5 * (low + high) / len(confidence)), dtype=np.float64)


def fit_error_curve(confidence: FloatArray, wrong: BoolArray) -> FloatArray:
    """P(error | confidence) at each point, [n], by Platt's (1999) smoothed logistic fit on ranks.

    Newton's method on two parameters; the targets are smoothed as Platt does, so that no errors at
    all is an ordinary case. The slope is kept from rising with the confidence.
    """
    z = rank_scale(confidence)
    positives = float(wrong.sum())
    y = np.where(wrong, (positives + 1.0) / (positives + 2.0), 1.0 / (len(wrong) - positives + 2.0))
    design = np.stack([np.ones(len(z)), z], axis=1)
    beta = np.array([special.logit(float(y.mean())), 0.0])
    for _ in range(50):
        p = special.expit(design @ beta)
        weight = p * (1.0 - p)
        hessian = design.T @ (weight[:, None] * design) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (y - p))
        beta = beta + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-9:
            break
    if beta[1] > 0.0:
        return np.full(len(z), float(y.mean()))
    return np.asarray(special.expit(design @ beta), dtype=np.float64)


def expected_coverage(error_rates: FloatArray, tested: BoolArray, target: RiskTarget) -> FloatArray:
    """Mean share answered by the walk if image of rank r is wrong with probability error_rates[r], [n].

    tested [S, n]: the ranks that each of S walks tests. Exact, by following the distribution of the
    number of errors along the ranks. Result [S].
    """
    n = len(error_rates)
    allowed = most_errors(np.arange(1, n + 1), target.alpha, target.delta)
    width = int(allowed[-1]) + 2
    alive = np.zeros((len(tested), width))
    alive[:, 0] = 1.0
    gained, last = np.zeros(len(tested)), np.zeros(len(tested))
    columns = np.arange(width)
    for rank in range(n):
        rate = error_rates[rank]
        moved = alive * rate
        alive = alive - moved
        alive[:, 1:] += moved[:, :-1]
        now = tested[:, rank]
        if now.any():
            alive[np.ix_(now, columns > allowed[rank])] = 0.0
            gained[now] += alive[now].sum(axis=1) * (rank + 1 - last[now])
            last[now] = rank + 1
    return gained / n


def _planned_start(wrong_by_rank: BoolArray, n_calibration: int, target: RiskTarget) -> float:
    """Share answered at the first threshold: 0 leaves the start to `certify`."""
    marks = milestones(target.alpha, target.delta, n_calibration)
    marks = marks[marks <= n_calibration]
    if len(marks) < 3 or n_calibration > _PLANNED_RANKS:
        return 0.0
    n = len(wrong_by_rank)
    curve = fit_error_curve(-np.arange(n, dtype=np.float64), wrong_by_rank)
    positions = (np.arange(n_calibration) + 0.5) / n_calibration * n - 0.5
    rates = np.interp(positions, np.arange(n), curve)
    starts = marks[1 : 2 + _LATEST_START]
    ranks = np.arange(1, n_calibration + 1)
    tested = testable(ranks, target) & (ranks >= starts[:, None])
    planned = expected_coverage(rates, tested, target)
    best = int(planned.argmax())
    if best == 0 or planned[best] < planned[0] + _WORTH:
        return 0.0
    # Halfway to the milestone before, so that it is not reached by chance on the calibration split.
    return float(0.5 * (starts[best - 1] + starts[best]) / n_calibration)
