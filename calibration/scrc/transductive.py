"""SCRC-T: exact in expectation; the image to be decided counts among the calibration images.

The paper recomputes both parameters for every image. After set-up a decision needs only two comparisons: see
`ScrcT.fit`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Self

import numpy as np

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.decision import StageRule
from calibration.errors import CalibrationError
from calibration.groups import UNGROUPED, Sampling
from calibration.prediction_sets import allowed_losses, largest_threshold
from calibration.scores import BoolArray, FloatArray
from calibration.scrc.policy import (
    DEFAULT_TERMS,
    SET_THRESHOLD_LIMIT,
    FittedPolicy,
    Fitting,
    Guarantee,
    Promise,
    ScrcData,
    ScrcScores,
    ScrcTerms,
    check_share,
    rule_with,
)

ACCEPT_ALL = -sys.float_info.max
"""A threshold below every confidence; the decision rule requires a finite one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrcT(FittedPolicy):
    """A fitted SCRC-T policy; build it with `fit`."""

    variant: ClassVar[str] = "SCRC-T"
    acceptance: float
    """xi: at least this share of images is accepted, on average over draws"""
    answer_share: float
    """Share of the accepted that must be answered for alpha to hold among the answered; 1 for `sets`"""
    accepted: int
    """m: number of calibration units accepted beside an image with a confidence above `threshold`.
    `answered` counts those that the fitted rule answers."""
    set_threshold_at_boundary: float | None = None
    """The set threshold if confidence == threshold exactly"""

    @classmethod
    def fit(
        cls,
        scores: ScrcScores,
        target: RiskTarget,
        terms: ScrcTerms = DEFAULT_TERMS,
        sampling: Sampling = UNGROUPED,
        *,
        answer_share: float | None = None,
        set_threshold_limit: float = SET_THRESHOLD_LIMIT,
    ) -> Self:
        """Fit on the calibration split.

        What holds exactly, for images exchangeable with the calibration units and on average over draws
        of both: P(accepted) >= `acceptance`, and for promise "sets" P(label not in the set | accepted) <=
        alpha. For "answers" P(answered wrongly | accepted) <= alpha * `answer_share`: of the answered at most
        alpha are wrong, provided that at least `answer_share` of the accepted are answered. The selection
        split plans this share (`plan_scrc_t`); the fit is infeasible if the calibration units answer fewer
        even with one standard error fewer errors.

        With `class_conditional` the loss is bounded for the images of each class.

        Two comparisons are enough, for this reason. Among the n + 1 confidences the acceptance threshold is
        the (K + 1)-th smallest, K = floor((1 - xi)(n + 1)); with c_K, c_(K+1) of the n calibration
        confidences, that is the new one clipped to [c_K, c_(K+1)]. So it is accepted iff it is >= c_K; if it
        is larger than c_K, the accepted calibration units are always the same; if it equals c_K, they are
        those at or above c_K. Each of the two cases has one set threshold, computed here.
        """
        promise, class_conditional = terms.promise, terms.class_conditional
        fitting = Fitting.read(scores, promise, terms.acceptance_for(target), sampling)
        data, critical, xi = fitting.data, fitting.critical, fitting.acceptance
        threshold, above, at_boundary = acceptance_threshold(data.confidence, xi)
        policy = cls(
            promise=promise,
            alpha=target.alpha,
            acceptance=xi,
            answer_share=_planned_share(promise, answer_share),
            class_conditional=class_conditional,
            n=len(data),
            accepted=int(above.sum()),
            population=data.population,
            seed=data.seed,
            images=data.images,
        )
        classes = data.classes(class_conditional)
        try:
            cut, cut_at_boundary = (
                _set_threshold(data, critical, [case & c for c in classes], policy, set_threshold_limit)
                for case in (above, at_boundary)
            )
        except _Shortfall as shortfall:
            return replace(policy, needed=str(shortfall))
        sure = (data.confidence > threshold) & data.is_single(cut)
        answered = sure | ((data.confidence == threshold) & data.is_single(cut_at_boundary))
        wrong = answered & (data.probabilities.argmax(axis=1) != data.labels)
        return replace(
            policy,
            answered=int(answered.sum()),
            errors=int(wrong.sum()),
            coverage_lower_bound=max(0.0, float(sure.mean()) - _orthant_margin(len(data), target.delta)),
            threshold=threshold,
            set_threshold=cut,
            set_threshold_at_boundary=cut_at_boundary,
        )

    def predict_set(self, confidence: float, probabilities: Sequence[float]) -> tuple[int, ...] | None:
        """Set of one image in constant time; None if it is rejected.

        The result equals that of `calibration.decision.decide_stage` with `stage_rule`.
        """
        if self.threshold is None or not confidence >= self.threshold:
            return None
        cut = self.set_threshold_at_boundary if confidence == self.threshold else self.set_threshold
        return None if cut is None else tuple([k for k, p in enumerate(probabilities) if p >= cut])

    def stage_rule(self, base: StageRule) -> StageRule:
        """The decision rule of this policy; `base` names the score, temperature and gate scaling."""
        return rule_with(base, self.threshold, self.set_threshold, self.set_threshold_at_boundary)

    def certificate(self, target: RiskTarget, certified_on: CertifiedOn = UNRECORDED) -> Certificate:
        """The promise about answers, in expectation; ScrcError for a policy that promises sets only."""
        return self._certificate(target, Guarantee("expectation"), certified_on)


def _planned_share(promise: Promise, answer_share: float | None) -> float:
    """Share of the accepted to answer; 1 for "sets"."""
    if promise == "sets":
        return 1.0
    if answer_share is None:
        raise ValueError(
            "answer_share is missing; a promise about answers needs it: plan it on the selection split with "
            "plan_scrc_t"
        )
    check_share("answer_share", answer_share)
    return answer_share


def acceptance_threshold(confidence: FloatArray, xi: float) -> tuple[float, BoolArray, BoolArray]:
    """Threshold c_K, and the calibration units [n] accepted beside an image above it and at it."""
    n = len(confidence)
    rejected = math.floor((1 - Fraction(repr(float(xi)))) * (n + 1))
    if rejected == 0:
        everything = np.ones(n, dtype=np.bool_)
        return ACCEPT_ALL, everything, everything
    ascending = np.sort(confidence)
    threshold = float(ascending[rejected - 1])
    at_boundary = confidence >= threshold
    if rejected < n and ascending[rejected] == threshold:
        return threshold, at_boundary, at_boundary
    return threshold, confidence > threshold, at_boundary


class _Shortfall(CalibrationError):
    """What is missing for a promise, in one sentence; never leaves this module."""


def _set_threshold(
    data: ScrcData, critical: FloatArray, members: list[BoolArray], policy: ScrcT, limit: float
) -> float:
    """Largest set threshold that keeps the loss of every subpopulation of accepted units [n]."""
    level = float(policy.alpha * policy.answer_share)
    cuts = [largest_threshold(critical[m], level) for m in members]
    found = [cut for cut in cuts if cut is not None]
    if len(found) < len(cuts):
        # Read as a decimal number: 1 / 0.01 must not become 101.
        fewest = math.ceil(1 / Fraction(repr(level))) - 1
        each = " of each class" if policy.class_conditional else ""
        smallest = min(int(m.sum()) for m in members)
        raise _Shortfall(
            f"at least {fewest} accepted calibration units{each} are needed, there are {smallest}: about "
            f"{math.ceil(fewest * policy.n / max(smallest, 1))} in all"
        )
    if policy.promise == "answers":
        share = _optimistic_share(data, critical, members, level, limit)
        if share < policy.answer_share:
            raise _Shortfall(
                f"{100 * policy.answer_share:.0f} % of the accepted were planned to be answered, but sets "
                f"of one label reach at most {100 * share:.1f} % here: plan on the selection split, accept "
                "fewer images, allow more errors, or improve the model"
            )
    return min(*found, limit)


def _optimistic_share(
    data: ScrcData, critical: FloatArray, members: list[BoolArray], level: float, limit: float
) -> float:
    """Share answered of the worst subpopulation, with one standard error fewer errors.

    A refusal by the plain share would keep only those draws that have few errors by chance, and so break on
    average the promise that holds over all draws.
    """
    cuts = []
    for m in members:
        values = critical[m]
        allowed = allowed_losses(level, len(values))
        rank = min(allowed + math.ceil(math.sqrt(allowed + 1)), len(values) - 1)
        cuts.append(float(np.partition(values, rank)[rank]))
    single = data.is_single(min(*cuts, limit))
    shares = [float(single[m].mean()) for m in members]
    return min(
        share + math.sqrt(share * (1.0 - share) / m.sum()) for share, m in zip(shares, members, strict=True)
    )


def _orthant_margin(n: int, delta: float) -> float:
    """Margin by which the observed share of any region {g > a, p_1 >= b, p_2 < c} may exceed the true one.

    The Dvoretzky-Kiefer-Wolfowitz inequality in three dimensions (Naaman, Stat. Probab. Lett. 173, 2021).
    It is uniform over regions, so it holds for a region chosen on the same data.
    """
    return math.sqrt(math.log(3.0 * (n + 1) / delta) / (2.0 * n)) if n else 1.0
