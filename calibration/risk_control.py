"""Other rules of risk control than the default, for comparison and for losses that are not counts.

Each result states its kind of guarantee: SGR, RCPS and Learn-then-Test hold with high
probability ("pac"), conformal risk control holds on average over calibration draws ("expectation").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibration.bounds import (
    clopper_pearson_upper,
    hoeffding_bentkus_upper,
    milestones,
    wsr_betting_upper,
)
from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, Kind, RiskTarget
from calibration.decision import answers
from calibration.exact.issuer import Issuer, Proven
from calibration.exact.shortfall import describe_shortfall
from calibration.exact.steps import count, last_before_failure
from calibration.groups import UNGROUPED, Sampling, independent_units
from calibration.inputs import read_losses, read_scores
from calibration.scores import BoolArray, FloatArray


def sgr(
    confidence: ArrayLike,
    errors: ArrayLike,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Selection with guaranteed risk (Geifman and El-Yaniv, arXiv 1705.08500, algorithm 2).

    Binary search over the ranks of confidence [n], the exact binomial bound at
    delta / ceil(log2 n) in each of its steps, on whole error counts; the loosest threshold that kept
    the bound is certified. Sound if the risk is monotone in the threshold: otherwise the steps of the
    search depend on earlier outcomes in a way that its union bound does not cover.
    """
    scores, wrong = read_scores(confidence, errors)
    units = independent_units(len(scores), sampling)
    scores, wrong = scores[units.rows], wrong[units.rows]
    n = len(scores)
    ascending = np.sort(scores)
    rounds = max(1, math.ceil(math.log2(n))) if n else 0
    strictest, loosest = 0, n
    lowest, best = math.inf, None
    for _ in range(rounds):
        rank = max(1, (strictest + loosest + 1) // 2)
        threshold = float(ascending[n - rank])
        m, k = _count_at(scores, wrong, threshold)
        bound = float(clopper_pearson_upper(k, m, target.delta / rounds))
        if bound <= target.alpha:
            strictest = rank
            # Ranks that share one confidence give the same threshold again.
            if threshold < lowest:
                lowest, best = threshold, Proven(threshold, m, k, bound)
        else:
            loosest = rank
    issuer = Issuer("SGR", target, units, certified_on)
    if best is None:
        return issuer.infeasible(_sgr_shortfall(scores, wrong, target, max(rounds, 1), units.name))
    return issuer.feasible(best)


def _count_at(scores: FloatArray, wrong: BoolArray, threshold: float) -> tuple[int, int]:
    chosen = answers(scores, threshold)
    return int(chosen.sum()), int((chosen & wrong).sum())


def _sgr_shortfall(scores: FloatArray, wrong: BoolArray, target: RiskTarget, rounds: int, unit: str) -> str:
    """What is missing at the strictest rank that can pass at delta / rounds."""
    share = replace(target, delta=target.delta / rounds)
    n = len(scores)
    marks = milestones(share.alpha, share.delta, n)
    ranks = marks[marks <= n][:2][-1:]
    thresholds = np.sort(scores)[n - ranks]
    return describe_shortfall(scores, wrong, n, *count(scores, wrong, thresholds), share, unit)


@dataclass(frozen=True, slots=True)
class RiskControl:
    """Parameter that a rule chose from a list, with its guarantee."""

    index: int | None
    """Index into the list; None if the rule can choose none"""
    kind: Kind
    method: str
    alpha: float
    delta: float | None

    def __post_init__(self) -> None:
        if (self.kind == "expectation") != (self.delta is None):
            raise ValueError("a guarantee has a delta exactly if it is of the kind 'pac'")


def conformal_risk_control(losses: ArrayLike, alpha: float, bound: float = 1.0) -> RiskControl:
    """Conformal risk control (arXiv 2208.02814, equation 4): E[loss of a new point] <= alpha.

    losses [n, T] in [0, bound], columns in the order of the parameter, from large losses to small,
    each row non-increasing. The first column with n / (n + 1) mean + bound / (n + 1) <= alpha is
    chosen. The guarantee is about the loss of *all* points and holds on average over calibration draws:
    for a selective classifier it does not bound the error among the answered.
    """
    values = read_losses(losses, bound)
    if values.shape[0] and (np.diff(values, axis=1) > 1e-12).any():
        raise ValueError("losses must not increase along a row; conformal risk control needs monotone losses")
    if not 0.0 < alpha < bound:
        raise ValueError(f"alpha is {alpha!r}; it must lie strictly between 0 and {bound:g}")
    n = len(values)
    enough = (values.sum(axis=0) + bound) / (n + 1) <= alpha
    index = int(enough.argmax()) if enough.any() else None
    return RiskControl(index, "expectation", "conformal risk control", alpha, None)


def _hoeffding_bentkus_columns(losses: FloatArray, delta: float) -> FloatArray:
    n = len(losses)
    means = losses.mean(axis=0) if n else np.zeros(losses.shape[1])
    return hoeffding_bentkus_upper(np.clip(means, 0.0, 1.0), n, delta)


def _wsr_columns(losses: FloatArray, delta: float) -> FloatArray:
    return np.array([wsr_betting_upper(column, delta) for column in losses.T])


BOUNDS: Mapping[str, Callable[[FloatArray, float], FloatArray]] = MappingProxyType(
    {"hoeffding-bentkus": _hoeffding_bentkus_columns, "wsr": _wsr_columns}
)


def rcps(
    losses: ArrayLike, target: RiskTarget, bound: Literal["hoeffding-bentkus", "wsr"] = "wsr"
) -> RiskControl:
    """Risk-controlling prediction sets (arXiv 2101.02703, equation 4): P(risk <= alpha) >= 1 - delta.

    losses [n, T] in [0, 1], columns from large losses to small, the true risk non-increasing along
    them. The chosen column is the first from which on every upper bound lies below alpha.
    """
    values = read_losses(losses)
    if bound not in BOUNDS:
        raise ValueError(f"bound is {bound!r}; it must be one of {', '.join(BOUNDS)}")
    low_enough = BOUNDS[bound](values, target.delta) < target.alpha
    # Backwards from the last column (small losses) to the first that fails.
    kept = int(np.logical_and.accumulate(low_enough[::-1]).sum())
    index = values.shape[1] - kept if kept else None
    return RiskControl(index, "pac", f"RCPS, {bound}", target.alpha, target.delta)


def fixed_sequence_test(p_values: FloatArray, delta: float, starts: int = 1) -> BoolArray:
    """Hypotheses [T] that fixed-sequence testing from `starts` evenly spaced points rejects.

    Each start continues at delta / starts until its first failure (LTT, algorithm 1).
    """
    if not 1 <= starts <= max(1, len(p_values)):
        raise ValueError(f"starts is {starts}; it must lie between 1 and the number of hypotheses")
    rejected = np.zeros(len(p_values), dtype=np.bool_)
    if len(p_values) == 0:
        return rejected
    for start in np.unique(np.linspace(0, len(p_values), starts, endpoint=False).astype(np.int64)):
        stop = start + 1 + last_before_failure(p_values[start:] <= delta / starts)
        rejected[start:stop] = True
    return rejected


def holm_test(p_values: FloatArray, delta: float) -> BoolArray:
    """Hypotheses [T] that Holm's step-down procedure (1979) rejects; needs no order."""
    order = np.argsort(p_values, kind="stable")
    count_left = len(p_values) - np.arange(len(p_values))
    rejected = np.zeros(len(p_values), dtype=np.bool_)
    if len(p_values):
        rejected[order[: last_before_failure(p_values[order] <= delta / count_left) + 1]] = True
    return rejected


PROCEDURES: Mapping[str, Callable[[FloatArray, float], BoolArray]] = MappingProxyType(
    {"fixed-sequence": fixed_sequence_test, "holm": holm_test}
)


def learn_then_test(
    p_values: ArrayLike, delta: float, procedure: Literal["fixed-sequence", "holm"] = "fixed-sequence"
) -> BoolArray:
    """Learn-then-Test (arXiv 2110.01052): the parameters whose risk is proven to be at most alpha, [T].

    p_values [T] of "the risk of parameter j exceeds alpha" (`binomial_p_value`,
    `hoeffding_bentkus_p_value`); both procedures control the family-wise error: with probability
    1 - delta no parameter of too high a risk is among those returned. "fixed-sequence" tests in the given
    order, which must not depend on calibration labels.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError("p_values must be one-dimensional with values in [0, 1]")
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta is {delta!r}; it must lie strictly between 0 and 1")
    if procedure not in PROCEDURES:
        raise ValueError(f"procedure is {procedure!r}; it must be one of {', '.join(PROCEDURES)}")
    return PROCEDURES[procedure](values, delta)
