"""A cascade of two stages, certified as one policy.

Stage A answers where its confidence reaches t_a; of the rest, stage B answers where its confidence
reaches t_b. The loss of an image is "answered, by whichever stage, and wrong". One path of pairs
(t_a, t_b) is planned on the selection split and walked with the exact test at the full delta, instead
of a certificate of its own for each stage at delta / 2. The promise is about all answers together:
those of stage A alone may be wrong more often than alpha.

Choosing a one-dimensional path through many policies beforehand is Pareto testing (arXiv 2210.07913).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.bounds import clopper_pearson_lower
from calibration.certificate import Certificate, RiskTarget
from calibration.decision import answers
from calibration.fixed_sequence import last_before_failure, passes, steps_to_test
from calibration.groups import Unit, independent_units
from calibration.inputs import read_confidence, read_errors, read_scores
from calibration.issuing import Issuer, coverage_bound, proven_risk
from calibration.planning import fit_error_curve
from calibration.scores import BoolArray, FloatArray, IntArray
from calibration.shortfall import describe_shortfall

PATH_POINTS = 400
"""Coverages at which a pair is planned."""
STAGE_A_POINTS = 80
"""Thresholds of stage A that are tried at each coverage."""
FIRST_ANSWERED = 400
"""The path starts at this many planned answers, below the 473 at which the walk begins by default."""


@dataclass(frozen=True, slots=True)
class CascadeScores:
    """Confidences and errors of both stages on the same images, all [n]."""

    confidence_a: FloatArray
    wrong_a: BoolArray
    confidence_b: FloatArray
    wrong_b: BoolArray

    @classmethod
    def read(
        cls, confidence_a: ArrayLike, errors_a: ArrayLike, confidence_b: ArrayLike, errors_b: ArrayLike
    ) -> CascadeScores:
        """ValueError where a stage is malformed or the stages differ in length."""
        scores_a, wrong_a = read_scores(confidence_a, errors_a, "_a")
        scores_b = read_confidence(confidence_b, "confidence_b")
        if len(scores_b) != len(scores_a):
            raise ValueError(f"confidence_b has length {len(scores_b)}; confidence_a has {len(scores_a)}")
        return cls(scores_a, wrong_a, scores_b, read_errors(errors_b, len(scores_b), "errors_b"))

    def __len__(self) -> int:
        return len(self.confidence_a)

    def take(self, rows: IntArray | BoolArray) -> CascadeScores:
        return CascadeScores(
            self.confidence_a[rows], self.wrong_a[rows], self.confidence_b[rows], self.wrong_b[rows]
        )

    def outcome(self, pair: FloatArray) -> tuple[BoolArray, BoolArray, BoolArray]:
        """(answered by A, answered by B, answered wrongly) at one pair of thresholds, each [n]."""
        by_a = answers(self.confidence_a, float(pair[0]))
        by_b = answers(self.confidence_b, float(pair[1])) & ~by_a
        return by_a, by_b, (by_a & self.wrong_a) | (by_b & self.wrong_b)


@dataclass(frozen=True, slots=True)
class CascadeUsage:
    """What a pair of thresholds does on given images: shares of all images, and compute per image."""

    answered_by_a: float
    answered_by_b: float
    risk_a: float
    """Share wrong among the answers of A; NaN where it gives none. It may exceed alpha."""
    risk_b: float
    risk: float
    compute: float
    """cost_a (unless A answers nothing and need not run) + cost_b for each image that A leaves."""

    @property
    def coverage(self) -> float:
        return self.answered_by_a + self.answered_by_b


def read_path(path: ArrayLike) -> FloatArray:
    """A path [T, 2] of pairs (t_a, t_b), strict to loose; +inf: the stage answers nothing."""
    values = np.asarray(path, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or len(values) == 0:
        raise ValueError(f"path has shape {values.shape}; it must be (T, 2) with T >= 1")
    if np.isnan(values).any() or np.isneginf(values).any():
        raise ValueError("path must hold finite thresholds, or +inf for a stage that answers nothing")
    return values


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


def certify_cascade(
    confidence_a: ArrayLike,
    errors_a: ArrayLike,
    confidence_b: ArrayLike,
    errors_b: ArrayLike,
    path: ArrayLike,
    target: RiskTarget,
    groups: ArrayLike | None = None,
    *,
    unit: Unit = "group",
    seed: int = 0,
    max_group_size: int | None = None,
    split_digest: str | None = None,
    engine: str | None = None,
) -> Certificate:
    """Certify the last pair of `path` [T, 2] that keeps the cascade's risk at most `target.alpha`.

    Scores [n] of both stages on every image of the calibration split (B also where A would answer).
    The walk begins at the first pair that answers as many as one error needs (473 by default), then
    takes the path in its order; `threshold` is (t_a, t_b), +inf for a stage that answers nothing.
    Groups, units and the meaning of the fields are those of `certify`. ValueError for malformed input
    only.
    """
    scores = CascadeScores.read(confidence_a, errors_a, confidence_b, errors_b)
    pairs = read_path(path)
    units = independent_units(len(scores), groups, unit, seed, max_group_size)
    scores = scores.take(units.rows)
    n = len(scores)
    issuer = Issuer("exact fixed sequence, cascade as one policy", target, units, split_digest, engine)
    answered, errors = np.zeros(len(pairs), dtype=np.int64), np.zeros(len(pairs), dtype=np.int64)
    entry, wrong_at_entry = np.full(n, len(pairs)), np.zeros(n, dtype=np.bool_)
    for index, pair in enumerate(pairs):
        by_a, by_b, wrong = scores.outcome(pair)
        answered[index], errors[index] = (by_a | by_b).sum(), wrong.sum()
        fresh = (by_a | by_b) & (entry == len(pairs))
        entry[fresh], wrong_at_entry[fresh] = index, wrong[fresh]
    tested = np.flatnonzero(steps_to_test(answered, target))
    last = last_before_failure(passes(answered[tested], errors[tested], target, None))
    if last < 0:
        needed = describe_shortfall(
            -entry.astype(np.float64),
            wrong_at_entry,
            int(answered.max()),
            answered[tested],
            errors[tested],
            target,
            units.name,
        )
        return issuer.infeasible(needed)
    chosen = int(tested[last])
    m, k = int(answered[chosen]), int(errors[chosen])
    return issuer.feasible(
        (float(pairs[chosen, 0]), float(pairs[chosen, 1])),
        m,
        k,
        risk_upper_bound=proven_risk(m, k, target, last == len(tested) - 1),
        coverage_lower_bound=_path_coverage_bound(pairs, m, n, target.delta),
    )


def _path_coverage_bound(pairs: FloatArray, answered: int, n: int, delta: float) -> float:
    """Lower bound of the coverage at a pair chosen from `pairs` on the same n units.

    Along a path that only loosens both thresholds the answered images are nested and DKW holds; on
    any other path each pair pays its share of delta.
    """
    if (np.diff(np.where(np.isinf(pairs), np.finfo(np.float64).max, pairs), axis=0) <= 0).all():
        return coverage_bound(answered, n, delta)
    return float(clopper_pearson_lower(answered, n, delta / len(pairs)))


def cascade_usage(
    confidence_a: ArrayLike,
    errors_a: ArrayLike,
    confidence_b: ArrayLike,
    errors_b: ArrayLike,
    threshold: tuple[float, float],
    cost_a: float,
    cost_b: float,
) -> CascadeUsage:
    """Who answers how much, how well and at what cost, on any labelled images [n >= 1]."""
    scores = CascadeScores.read(confidence_a, errors_a, confidence_b, errors_b)
    if len(scores) == 0:
        raise ValueError("no images; usage is a share of them")
    by_a, by_b, wrong = scores.outcome(np.asarray(threshold, dtype=np.float64))

    def share_wrong(answered: BoolArray) -> float:
        return float(wrong[answered].mean()) if answered.any() else float("nan")

    runs_a = 0.0 if np.isposinf(threshold[0]) else cost_a
    return CascadeUsage(
        answered_by_a=float(by_a.mean()),
        answered_by_b=float(by_b.mean()),
        risk_a=share_wrong(by_a),
        risk_b=share_wrong(by_b),
        risk=share_wrong(by_a | by_b),
        compute=runs_a + cost_b * float(1.0 - by_a.mean()),
    )
