"""Path of a cascade, planned on the selection split before any calibration label is read.

Compute is saved only as far as the promise allows: the slack is limited by the coverage target, and the
cheapest pair is taken if almost no error is planned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.certificate import RiskTarget
from calibration.decision import answers
from calibration.error_curve import fit_error_curve
from calibration.exact.cascade import CascadePath, CascadeScores
from calibration.exact.steps import start_of
from calibration.exact.strata import Parts
from calibration.planning.thresholds import planned_coverage
from calibration.scores import BoolArray, FloatArray, IntArray

PATH_POINTS = 400
"""Number of coverages at which a pair is planned"""
STAGE_A_POINTS = 80
"""Number of thresholds of stage A that are tried at each coverage"""
START_MARGIN = 2.0
"""Standard deviations by which the planned number of answers at the first pair exceeds the fewest that one
error needs, so that the calibration split hardly ever answers fewer there."""
SLACK_STEPS = 6
"""Number of slacks that are tried between the given one and 1"""
NEGLIGIBLE_RISK = 0.1
"""Planned risks up to this share of alpha count as equal: a curve fitted to the selection split cannot
distinguish so few errors, and its extrapolation would choose the more expensive stage at the start of a path.
In the reference worlds this changes nothing; if the strong stage is wrong on a few images with high
confidence, many more certificates are feasible (docs/measurements/promise.md)."""


def plan_cascade(
    scores: CascadeScores,
    cost_a: float,
    cost_b: float,
    n_calibration: int,
    target: RiskTarget,
    slack: float = 1.2,
    parts: Parts | None = None,
) -> FloatArray:
    """Pairs (t_a, t_b) [T, 2] for `certify_cascade`, from the scores of both stages on val_select.

    The certificate tests every pair, so the plan alone decides where the tests start: at the pair that is
    planned to answer as many of `n_calibration` units as `target` needs with one error, by `START_MARGIN`. A
    choice by calibration counts would break the promise, because the answers of two pairs need not be nested.
    `parts` (of the selection images): each of them is planned to reach its own start.

    For each of `PATH_POINTS` coverages, of all pairs that answer so many selection images, the cheapest is
    taken among those with at most `slack` times the least number of planned errors (or a negligible number).
    Planned errors come from one fitted error curve per stage (`fit_error_curve`), not from the few observed
    errors.

    `slack` limits the errors given up for compute: if the coverage planned with it falls short of
    `target.min_coverage`, a smaller slack is taken, down to 1, which plans for coverage alone.
    """
    if len(scores) == 0:
        raise ValueError("the selection split is empty; a path is planned on its confidences")
    if not slack >= 1.0:
        raise ValueError(f"slack is {slack!r}; it must be at least 1")
    if not (cost_a >= 0.0 and cost_b >= 0.0):
        raise ValueError(f"costs are {cost_a!r} and {cost_b!r}; they must not be negative")
    first = first_answered(len(scores), n_calibration, target)
    candidates = _Candidates.of(scores, cost_a, cost_b, first)
    for tried in np.linspace(slack, 1.0, SLACK_STEPS):
        chosen = candidates.cheapest(float(tried), NEGLIGIBLE_RISK * target.alpha)
        if candidates.planned_coverage(chosen, n_calibration, target) >= target.min_coverage:
            break
    path = candidates.path(chosen)
    return path if parts is None else path[_from_start_of_parts(path, scores, n_calibration, target, parts) :]


def first_answered(n_selection: int, n_calibration: int, target: RiskTarget) -> float:
    """Share of the images that the first pair answers, from the numbers of images in both splits."""
    if n_calibration <= 0:
        return 1.0
    start = start_of(n_calibration, target)
    planned = np.arange(min(start, n_calibration), n_calibration + 1, dtype=np.float64)
    # The last one is certain: it answers every image.
    enough = _least_planned(planned, n_selection, n_calibration) >= min(start, n_calibration)
    return float(planned[int(enough.argmax())]) / n_calibration


def _least_planned(planned: FloatArray, n_selection: int, n_calibration: int) -> FloatArray:
    """Planned numbers of answers less `START_MARGIN` standard deviations; both splits are random."""
    share = np.clip(planned / n_calibration, 0.0, 1.0)
    variance = n_calibration * share * (1.0 - share) * (1.0 + n_calibration / n_selection)
    return np.asarray(planned - START_MARGIN * np.sqrt(variance))


def _from_start_of_parts(
    path: FloatArray, scores: CascadeScores, n_calibration: int, target: RiskTarget, parts: Parts
) -> int:
    """The first step at which every part is planned to reach its start; the last step if there is none."""
    n = len(scores)
    planned = CascadePath(scores, path).count(parts).answered.astype(np.float64) * n_calibration / n
    starts = np.array([start_of(int(reachable), target) for reachable in planned[-1]])
    reached = (_least_planned(planned, n, n_calibration) >= starts).all(axis=1)
    return int(reached.argmax()) if reached.any() else len(path) - 1


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Thresholds of stage A [R], with the threshold of stage B that reaches each count of answers [C]."""

    n: int
    """Number of selection images"""
    answered: IntArray
    """[C]"""
    thresholds_a: FloatArray
    """[R]"""
    thresholds_b: FloatArray
    """[R, C]"""
    planned: FloatArray
    """Planned errors [R, C]; inf if A alone answers more"""
    seen: IntArray
    """Observed errors [R, C], if the pair is possible"""
    costs: FloatArray
    """Mean cost per image, [R]"""

    @classmethod
    def of(cls, scores: CascadeScores, cost_a: float, cost_b: float, first: float) -> _Candidates:
        n = len(scores)
        answered = np.unique(np.linspace(first * n, n, PATH_POINTS).round().astype(np.int64).clip(1, n))
        thresholds_a = _stage_a_grid(scores.a.confidence)
        curve_a = fit_error_curve(scores.a.confidence, scores.a.wrong)
        curve_b = fit_error_curve(scores.b.confidence, scores.b.wrong)
        by_b_order = np.argsort(-scores.b.confidence, kind="stable")

        planned = np.full((len(thresholds_a), len(answered)), np.inf)
        thresholds_b = np.full(planned.shape, np.inf)
        seen = np.zeros(planned.shape, dtype=np.int64)
        costs = np.empty(len(thresholds_a))
        for row, threshold in enumerate(thresholds_a):
            by_a = answers(scores.a.confidence, float(threshold))
            left = by_b_order[~by_a[by_b_order]]
            by_b = answered - int(by_a.sum())
            possible = by_b >= 0
            planned[row, possible] = curve_a[by_a].sum() + _running_sum(curve_b[left])[by_b[possible]]
            seen[row, possible] = (
                scores.a.wrong[by_a].sum() + _running_sum(scores.b.wrong[left])[by_b[possible]]
            )
            some = by_b > 0
            thresholds_b[row, some] = scores.b.confidence[left[by_b[some] - 1]]
            costs[row] = (cost_a if by_a.any() else 0.0) + cost_b * len(left) / n
        return cls(n, answered, thresholds_a, thresholds_b, planned, seen, costs)

    def cheapest(self, slack: float, negligible_risk: float) -> IntArray:
        """Row [C] of the cheapest pair with few enough errors for each count; on equal cost, the pair with
        fewer planned errors."""
        enough = np.maximum(slack * self.planned.min(axis=0), negligible_risk * self.answered)
        costs = np.where(self.planned <= enough, self.costs[:, None], np.inf)
        return np.asarray(np.lexsort((self.planned, costs), axis=0)[0], dtype=np.int64)

    def planned_coverage(self, rows: IntArray, n_calibration: int, target: RiskTarget) -> float:
        """Planned coverage of the chosen pairs (`calibration.planning.thresholds.planned_coverage`)."""
        seen = self.seen[rows, np.arange(len(rows))]
        return planned_coverage(self.answered, seen, self.n, n_calibration, target)

    def path(self, rows: IntArray) -> FloatArray:
        """The pairs [T, 2], each once."""
        pairs = np.stack([self.thresholds_a[rows], self.thresholds_b[rows, np.arange(len(rows))]], axis=1)
        changed = np.ones(len(pairs), dtype=np.bool_)
        changed[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        return np.asarray(pairs[changed], dtype=np.float64)


def _running_sum(values: FloatArray | BoolArray) -> FloatArray:
    """Sums of the first 0, 1, ..., n values, [n + 1]."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _stage_a_grid(confidence: FloatArray) -> FloatArray:
    """+inf (A answers nothing), then quantiles of the confidences of A down to the lowest."""
    descending = np.sort(confidence)[::-1]
    ranks = np.unique(np.linspace(1, len(descending), STAGE_A_POINTS).astype(np.int64)) - 1
    return np.concatenate([[np.inf], np.unique(descending[ranks])[::-1]])
