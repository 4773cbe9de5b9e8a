"""SCRC-T: exact in expectation, with the image to be decided counted among the calibration images.

The paper recomputes both parameters for every image. Both depend on it in so simple a way that after
set-up a decision is two comparisons: see `ScrcT.fit`.
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
from calibration.groups import UNGROUPED, Sampling
from calibration.prediction_sets import allowed_losses, largest_threshold
from calibration.scores import BoolArray, FloatArray
from calibration.scrc.policy import (
    DEFAULT_TERMS,
    SET_THRESHOLD_LIMIT,
    FittedPolicy,
    Fitting,
    Guarantee,
    ScrcData,
    ScrcScores,
    ScrcTerms,
    check_share,
    rule_with,
)

ACCEPT_ALL = -sys.float_info.max
"""A threshold below every confidence; the decision rule wants a finite one."""


@dataclass(frozen=True, slots=True)
class ScrcT(FittedPolicy):
    """A fitted SCRC-T policy; build it with `fit`."""

    variant: ClassVar[str] = "SCRC-T"
    acceptance: float
    """xi: at least this share of images is accepted, on average over draws."""
    answer_share: float
    """Share of the accepted that must be answered for alpha to hold among the answered; 1 for `sets`."""
    accepted: int
    """m: calibration units accepted beside an image whose confidence is above `threshold`.
    `answered` counts those that the fitted rule answers."""
    set_threshold_at_boundary: float | None
    """The set threshold where confidence == threshold exactly."""

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
        alpha. For "answers" P(answered wrongly | accepted) <= alpha * `answer_share`: so of the answered at
        most alpha are wrong, provided that at least `answer_share` of the accepted are answered. That is
        planned on the selection split (`plan_scrc_t`), and refuted here, with nothing promised,
        where the calibration units answer fewer even with one standard error of luck.

        With `class_conditional` the loss is bounded for the images of each class.

        Why two comparisons are enough. Among the n + 1 confidences the acceptance threshold is the
        (K + 1)-th smallest, K = floor((1 - xi)(n + 1)); with c_K, c_(K+1) of the n calibration confidences,
        that is the new one moved into [c_K, c_(K+1)]. So it is accepted iff it is >= c_K, and if it is
        larger than c_K the accepted calibration units are always the same ones; if it equals c_K they are
        those at or above c_K. Each of the two cases has one set threshold, computed here.
        """
        promise, class_conditional = terms.promise, terms.class_conditional
        fitting = Fitting.read(scores, promise, terms.acceptance_for(target), sampling)
        data, critical, xi = fitting.data, fitting.critical, fitting.acceptance
        if promise == "answers" and answer_share is None:
            raise ValueError(
                "answer_share is missing; a promise about answers needs it: plan it on the selection split "
                "with plan_scrc_t"
            )
        share = 1.0 if promise == "sets" or answer_share is None else answer_share
        check_share("answer_share", share)
        threshold, above, at_boundary = acceptance_threshold(data.confidence, xi)
        policy = cls(
            promise=promise,
            alpha=target.alpha,
            acceptance=xi,
            answer_share=share,
            class_conditional=class_conditional,
            n=len(data),
            accepted=int(above.sum()),
            answered=0,
            errors=0,
            coverage_lower_bound=0.0,
            threshold=None,
            set_threshold=None,
            set_threshold_at_boundary=None,
            needed=None,
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
        """The set of one image in constant time; None where it is rejected.

        The same outcome as `calibration.decision.decide_stage` with `stage_rule` gives.
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


def acceptance_threshold(confidence: FloatArray, xi: float) -> tuple[float, BoolArray, BoolArray]:
    """Threshold c_K, and the calibration units [n] accepted beside an image above it, and at it."""
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


class _Shortfall(Exception):
    """What is missing for a promise, in one sentence."""


def _set_threshold(
    data: ScrcData, critical: FloatArray, members: list[BoolArray], policy: ScrcT, limit: float
) -> float:
    """The largest set threshold that keeps the loss of every subpopulation of accepted units [n]."""
    level = float(policy.alpha * policy.answer_share)
    cuts = [largest_threshold(critical[m], level) for m in members]
    found = [cut for cut in cuts if cut is not None]
    if len(found) < len(cuts):
        # Compared as the decimals they are written as: 1 / 0.01 must not become 101.
        fewest = math.ceil(1 / Fraction(repr(level))) - 1
        each = " of each class" if policy.class_conditional else ""
        smallest = min(int(m.sum()) for m in members)
        raise _Shortfall(
            f"at least {fewest} accepted calibration units{each} are needed, there are {smallest}: about "
            f"{math.ceil(fewest * policy.n / max(smallest, 1))} in all"
        )
    if policy.promise == "answers":
        share = _lucky_share(data, critical, members, level, limit)
        if share < policy.answer_share:
            raise _Shortfall(
                f"{100 * policy.answer_share:.0f} % of the accepted were planned to be answered, but sets "
                f"of one label reach at most {100 * share:.1f} % here: plan on the selection split, accept "
                "fewer images, allow more errors, or improve the model"
            )
    return min(*found, limit)


def _lucky_share(
    data: ScrcData, critical: FloatArray, members: list[BoolArray], level: float, limit: float
) -> float:
    """The share answered of the worst subpopulation, had it met one standard error fewer errors.

    Refusing on the plain share would keep just those draws that met few errors by chance, and so break
    on average what every draw together keeps.
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
    """How far the observed share of any region {g > a, p_1 >= b, p_2 < c} is above the true one.

    The Dvoretzky-Kiefer-Wolfowitz inequality in three dimensions (Naaman, Stat. Probab. Lett. 173, 2021).
    It is uniform over regions, so it holds for the one that was chosen on the same data.
    """
    return math.sqrt(math.log(3.0 * (n + 1) / delta) / (2.0 * n)) if n else 1.0
