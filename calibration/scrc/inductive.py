"""SCRC-I: thresholds from the calibration split alone; holds with probability 1 - delta over its draw.

Uniform concentration over finite grids, as in version 2 of the paper. Valid and very conservative: for 1 %
it needs tens of thousands of calibration images (`images_needed`). The exact test of
`calibration.certify` makes the same promise about answers from a few hundred; prefer it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.decision import StageRule
from calibration.groups import UNGROUPED, Sampling
from calibration.inputs import read_thresholds
from calibration.scores import BoolArray, FloatArray, IntArray
from calibration.scrc.policy import (
    DEFAULT_TERMS,
    FittedPolicy,
    Fitting,
    Guarantee,
    ScrcData,
    ScrcScores,
    ScrcTerms,
    rule_with,
)


@dataclass(frozen=True, slots=True, eq=False)
class ScrcGrids:
    """Candidate thresholds of SCRC-I, strict (high) to loose (low), fixed before a calibration label is read.

    Every further point costs a little coverage, so small grids are better.
    """

    confidence: ArrayLike
    """[T]"""
    sets: ArrayLike
    """[U]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrcI(FittedPolicy):
    """A fitted SCRC-I policy; build it with `fit`."""

    variant: ClassVar[str] = "SCRC-I"
    delta: float
    acceptance: float | None
    """xi of the promise "sets"; None for "answers", which takes the largest safe coverage"""
    risk_upper_bound: float | None = None
    """Upper bound of the error among the answered or, for "sets", of the set risk among the accepted.
    `coverage_lower_bound` (for "sets" of the share accepted) holds together with it."""

    @classmethod
    def fit(
        cls,
        scores: ScrcScores,
        grids: ScrcGrids,
        target: RiskTarget,
        terms: ScrcTerms = DEFAULT_TERMS,
        sampling: Sampling = UNGROUPED,
    ) -> Self:
        """Fit on the calibration split.

        "sets" (the paper's): the largest confidence threshold that accepts a share qhat >= `acceptance`,
        then the largest set threshold with Nhat + eps_N <= alpha * max(qhat - eps_q, 0), where Nhat is the
        share accepted with a set that misses the label, eps_q = sqrt(ln(4/delta)/(2n)) and
        eps_N = sqrt(ln(4 T U / delta)/(2n)).

        "answers": of all grid points with Nhat + eps <= alpha * (Dhat - eps), the one that answers most;
        Nhat is the share answered wrongly, Dhat the share answered, eps = sqrt(ln(2 T U / delta)/(2n)).
        Both bounds hold at all grid points at once, so the risk need not be monotone.

        With `class_conditional` each class has an inequality of its own, and the number of classes multiplies
        the terms inside the logarithms.
        """
        promise, class_conditional = terms.promise, terms.class_conditional
        fitting = Fitting.read(scores, promise, terms.acceptance_for(target), sampling)
        data, critical, xi = fitting.data, fitting.critical, fitting.acceptance
        grid, sets = read_thresholds(grids.confidence), read_thresholds(grids.sets)
        policy = cls(
            promise=promise,
            alpha=target.alpha,
            delta=target.delta,
            acceptance=xi if promise == "sets" else None,
            class_conditional=class_conditional,
            n=len(data),
            population=data.population,
            seed=data.seed,
            images=data.images,
        )
        if len(data) == 0:
            return replace(policy, needed=_needed(policy, xi, len(grid), len(sets), 1))
        chosen = (
            _safe_answers(data, grid, sets, policy)
            if promise == "answers"
            else _safe_sets(data, critical, grid, sets, policy, xi)
        )
        if chosen is None:
            classes = data.probabilities.shape[1] if class_conditional else 1
            return replace(policy, needed=_needed(policy, xi, len(grid), len(sets), classes))
        threshold, set_threshold, risk, coverage = chosen
        answered = (data.confidence >= threshold) & data.is_single(set_threshold)
        wrong = answered & (data.probabilities.argmax(axis=1) != data.labels)
        return replace(
            policy,
            answered=int(answered.sum()),
            errors=int(wrong.sum()),
            risk_upper_bound=risk,
            coverage_lower_bound=coverage,
            threshold=threshold,
            set_threshold=set_threshold,
        )

    def stage_rule(self, base: StageRule) -> StageRule:
        """The decision rule of this policy; `base` names the score, temperature and gate scaling."""
        return rule_with(base, self.threshold, self.set_threshold, None)

    def certificate(self, target: RiskTarget, certified_on: CertifiedOn = UNRECORDED) -> Certificate:
        """The promise about answers; ScrcError for a policy that promises sets only."""
        guarantee = Guarantee("pac", self.delta, self.risk_upper_bound)
        return self._certificate(target, guarantee, certified_on)


def images_needed(
    target: RiskTarget, acceptance: float, confidence_grid: int, set_grid: int, classes: int = 1
) -> int:
    """Fewest calibration units with which SCRC-I ("sets") is feasible without an error.

    `confidence_grid` and `set_grid` are the numbers of grid points; `classes` is K for a class-conditional
    promise (a share 1/K of the accepted images is of each class, if all are equally frequent).
    """
    numerator = math.sqrt(math.log(4 * classes * confidence_grid * set_grid / target.delta))
    acceptance_margin = target.alpha * math.sqrt(math.log(4 * classes / target.delta))
    return math.ceil(((numerator + acceptance_margin) * classes / (target.alpha * acceptance)) ** 2 / 2)


def answers_margin(units: int, delta: float, confidence_grid: int, set_grid: int) -> float:
    """eps of SCRC-I ("answers"): by so much the share answered wrongly may exceed the one observed."""
    return math.sqrt(math.log(2 * confidence_grid * set_grid / delta) / (2 * max(units, 1)))


def units_for_answers(target: RiskTarget, confidence_grid: int, set_grid: int) -> int:
    """Fewest calibration units with which SCRC-I ("answers") is feasible if all are answered without an
    error: eps <= alpha (1 - eps)."""
    largest = target.alpha / (1.0 + target.alpha)
    return math.ceil(math.log(2 * confidence_grid * set_grid / target.delta) / (2 * largest**2))


Choice = tuple[float, float, float, float]
"""Confidence threshold, set threshold, risk upper bound, coverage lower bound"""


def _safe_sets(
    data: ScrcData, critical: FloatArray, grid: FloatArray, sets: FloatArray, policy: ScrcI, xi: float
) -> Choice | None:
    classes = data.classes(policy.class_conditional)
    n, cost = len(data), 4 * len(classes) / policy.delta
    eps_q = math.sqrt(math.log(cost) / (2 * n))
    eps_n = math.sqrt(math.log(cost * len(grid) * len(sets)) / (2 * n))
    enough = [t for t in grid if np.mean(data.confidence >= t) >= xi]
    if not enough:
        return None
    threshold = float(enough[0])
    accepted = data.confidence >= threshold
    risks = np.zeros(len(sets))
    for members in (accepted & c for c in classes):
        missed = np.searchsorted(np.sort(critical[members]), sets, side="left") / n
        least_accepted = max(float(members.mean()) - eps_q, 0.0)
        bound = (missed + eps_n) / least_accepted if least_accepted else np.full(len(sets), np.inf)
        risks = np.maximum(risks, bound)
    safe = np.flatnonzero(risks <= policy.alpha)
    if not len(safe):
        return None
    first = int(safe[0])
    return threshold, float(sets[first]), float(risks[first]), max(float(accepted.mean()) - eps_q, 0.0)


def _safe_answers(data: ScrcData, grid: FloatArray, sets: FloatArray, policy: ScrcI) -> Choice | None:
    classes = data.classes(policy.class_conditional)
    n = len(data)
    margin = math.sqrt(math.log(2 * len(classes) * len(grid) * len(sets) / policy.delta) / (2 * n))
    wrong = data.probabilities.argmax(axis=1) != data.labels
    risk = np.zeros((len(grid), len(sets)))
    for members in classes:
        answered = _answered_on_grids(data, members, grid, sets) / n
        mistakes = _answered_on_grids(data, members & wrong, grid, sets) / n
        least = answered - margin
        bound = np.divide(mistakes + margin, least, out=np.full(risk.shape, np.inf), where=least > 0.0)
        risk = np.maximum(risk, bound)
    coverage = _answered_on_grids(data, np.ones(n, dtype=np.bool_), grid, sets) / n
    safe = np.where(risk <= policy.alpha, coverage, -1.0)
    row, column = np.unravel_index(int(safe.argmax()), safe.shape)
    if safe[row, column] < 0.0:
        return None
    least_coverage = max(float(coverage[row, column]) - margin, 0.0)
    return float(grid[row]), float(sets[column]), float(risk[row, column]), least_coverage


def _answered_on_grids(data: ScrcData, members: BoolArray, grid: FloatArray, sets: FloatArray) -> IntArray:
    """Number of `members` [n] that each pair of thresholds answers, [T, U], in O(n log n + T U).

    An image is answered at every confidence threshold up to its confidence, and at every set threshold
    above its second probability and up to its first: a rectangle of grid points, counted by its corners.
    """
    top_two = np.partition(data.probabilities[members], -2, axis=1)[:, -2:]
    # On decreasing grids "threshold <= value" holds from a first index on.
    row = len(grid) - np.searchsorted(grid[::-1], data.confidence[members], side="right")
    first = len(sets) - np.searchsorted(sets[::-1], top_two[:, 1], side="right")
    end = len(sets) - np.searchsorted(sets[::-1], top_two[:, 0], side="right")
    corners = np.zeros((len(grid) + 1, len(sets) + 1), dtype=np.int64)
    np.add.at(corners, (row, first), 1)
    np.add.at(corners, (row, end), -1)
    return np.asarray(corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1], dtype=np.int64)


def _needed(policy: ScrcI, xi: float, confidence_grid: int, set_grid: int, classes: int) -> str:
    fewest = images_needed(RiskTarget(policy.alpha, policy.delta), xi, confidence_grid, set_grid, classes)
    return (
        f"SCRC-I needs about {fewest} calibration units even without an error (there are {policy.n}), or a "
        "smaller grid, or a larger alpha; the exact binomial certificate needs a few hundred"
    )
