"""Plan of SCRC-T: parameters that the selection split fixes before the calibration split is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibration.certificate import RiskTarget
from calibration.prediction_sets import allowed_losses
from calibration.scores import BoolArray, FloatArray
from calibration.scrc.policy import SET_THRESHOLD_LIMIT, Fitting, ScrcScores
from calibration.scrc.transductive import acceptance_threshold

_ACCEPTANCES = tuple(percent / 100 for percent in range(100, 0, -5))
_SHARES = tuple(percent / 100 for percent in range(99, 4, -1))
LARGEST_SHARE = _SHARES[0]
"""Largest share of the accepted images that a plan answers"""


@dataclass(frozen=True, slots=True)
class ScrcPlan:
    """Acceptance and answer share that `ScrcT.fit` aims at."""

    acceptance: float
    """Share of the images to accept"""
    answer_share: float
    """Share of the accepted images to answer"""


def plan_scrc_t(
    scores: ScrcScores,
    n_calibration: int,
    target: RiskTarget,
    acceptance: float | None = None,
    class_conditional: bool = False,
    set_threshold_limit: float = SET_THRESHOLD_LIMIT,
) -> ScrcPlan:
    """The plan that answers most images, from the *selection* split; `answer_share` is in [0.05, 0.99].

    A larger share leaves room for more errors, hence for more sets of one label. For each acceptance (or the
    one given) the plan takes the largest share that the policy exceeds on average over calibration splits of
    `n_calibration` units, by half a standard error of the estimate on the selection split: a larger margin
    costs more answers than it saves refused plans. Other parameters as for `ScrcT.fit`.
    """
    xi_by_default = target.min_coverage if acceptance is None else acceptance
    fitting = Fitting.read(scores, "answers", xi_by_default)
    data, critical = fitting.data, fitting.critical
    classes = data.classes(class_conditional)
    best = ScrcPlan(xi_by_default, _SHARES[-1])
    answered = 0.0
    for xi in _ACCEPTANCES if acceptance is None else (acceptance,):
        _, accepted, _ = acceptance_threshold(data.confidence, xi)
        members = [accepted & c for c in classes]
        # Shares that cannot answer more than the best plan so far are skipped.
        for share in (share for share in _SHARES if xi * share > answered):
            cut = _planned_cut(critical, members, target.alpha * share, n_calibration)
            if cut is None:
                continue
            single = data.is_single(min(cut, set_threshold_limit))
            if all(_pessimistic(float(single[m].mean()), int(m.sum())) >= share for m in members):
                best, answered = ScrcPlan(xi, share), xi * share
                break
    return best


def _planned_cut(
    critical: FloatArray, members: list[BoolArray], level: float, n_calibration: int
) -> float | None:
    """The set threshold that calibration will choose; None if it will have too few units."""
    cuts = []
    for m in members:
        here = int(m.sum())
        there = here * n_calibration // max(len(m), 1)
        allowed = allowed_losses(level, there)
        if allowed < 0:
            return None
        rank = int(_pessimistic(allowed / there, here) * here)
        cuts.append(float(np.partition(critical[m], rank)[rank]))
    return min(cuts)


def _pessimistic(rate: float, n: int) -> float:
    """A rate observed among n, less half its standard error; at least 0.

    The standard error is that of the rate with half a success and half a failure more (as in Agresti and
    Coull's interval), so that a rate of exactly 0 or 1 has one too.
    """
    shrunk = (rate * n + 0.5) / (n + 1.0)
    return max(0.0, rate - 0.5 * math.sqrt(shrunk * (1.0 - shrunk) / n))
