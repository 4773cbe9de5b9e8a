"""Pairs of thresholds of a cascade for each number of answered images, with planned errors and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from calibration.certificate import RiskTarget
from calibration.decision import answers
from calibration.error_curve import fit_error_curve
from calibration.exact.cascade import CascadeScores
from calibration.planning.thresholds import planned_coverage
from calibration.scores import BoolArray, FloatArray, IntArray

PATH_POINTS = 400
"""Number of coverages at which a pair is planned"""
STAGE_A_POINTS = 80
"""Number of thresholds of stage A that are tried at each coverage"""


@dataclass(frozen=True, slots=True)
class Candidates:
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
    def of(cls, scores: CascadeScores, cost_a: float, cost_b: float, first: float) -> Self:
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

    def coverage(self, rows: IntArray, n_calibration: int, target: RiskTarget) -> float:
        """Planned coverage of the chosen pairs (`calibration.planning.thresholds.planned_coverage`)."""
        seen = self.seen[rows, np.arange(len(rows))]
        return planned_coverage(self.answered, seen, self.n, n_calibration, target)

    def risk(self, rows: IntArray) -> FloatArray:
        """Planned risk [C] of the chosen pairs."""
        return np.asarray(self.planned[rows, np.arange(len(rows))] / self.answered, dtype=np.float64)

    def path(self, rows: IntArray, start: int) -> FloatArray:
        """The pairs [T, 2] from the count number `start` on, each once."""
        pairs = np.stack([self.thresholds_a[rows], self.thresholds_b[rows, np.arange(len(rows))]], axis=1)
        pairs = pairs[start:]
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
