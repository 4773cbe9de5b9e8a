"""The certificate of a promise for an interval of the prevalence, given or found from unlabelled images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from calibration.certificate import Certificate
from calibration.exact.cascade import CASCADE_METHOD, CascadePath
from calibration.exact.fixed_sequence import RANK_START
from calibration.exact.issuer import Issuer
from calibration.exact.path_test import PathTest
from calibration.exact.policies import policy_path
from calibration.exact.worlds import HUNDREDTH, PREVALENCE_METHOD, certify_prevalence
from calibration.groups import Units, independent_units
from calibration.label_shift.interval import (
    CalledRates,
    PrevalenceUnknown,
    prevalence_interval,
    saerens_prevalence,
)
from calibration.label_shift.mixture import check_mixture
from calibration.scores import BoolArray, FloatArray
from trainer.certify.evidence import Evidence, certified_on, sampling_of
from trainer.certify.shares import class_shares
from trainer.errors import RunError
from trainer.run.promise import PromiseConfig
from trainer.scoring.split_scores import SplitScores

FOUND_SHARE = 0.2
"""Part of delta that an interval from unlabelled images gets; the walk has the rest"""
PLANNED_MARGIN = 0.05
"""Half-width of the interval that a path is planned for, around the share that val_select suggests"""


@dataclass(frozen=True, slots=True)
class FoundPrevalence:
    """What unlabelled images say of the share of class 1."""

    low: float
    high: float
    """Hundredths around `exact`"""
    exact: tuple[float, float]
    point: float
    """By expectation maximisation; no bound"""
    p_value: float
    """Of the hypothesis that their scores are a mixture of the scores of the two classes"""

    def lines(self, name: str, units: str, confidence: float) -> tuple[str, ...]:
        """The interval in plain words; `name` of class 1."""
        return (
            f"Between {_percent(self.low)} and {_percent(self.high)} of the {units} are {name}, with "
            f"{100 * confidence:g} % confidence if each class looks as it did (exact interval "
            f"{_percent(self.exact[0])} to {_percent(self.exact[1])}; expectation maximisation suggests "
            f"{_percent(self.point)}, which is no bound)",
            f"Their scores pass as a mixture of the two classes (p = {self.p_value:.3g}): this sees "
            "gross changes of the images only",
        )


def prove_shares(evidence: Evidence, path: FloatArray) -> tuple[Certificate, tuple[str, ...]]:
    """The certificate at every promised share, and lines beside its sentence.

    If the shares are found from unlabelled images, the interval has spent its part of delta, and every
    hundredth of it is tested at the rest: its ends depend on labels of val_calib.
    """
    promise = evidence.promise
    lines: tuple[str, ...] = ()
    if promise.prevalence is None:
        try:
            found = find_prevalence(evidence)
        except PrevalenceUnknown as error:
            return _without_interval(evidence, str(error)), ()
        lines = found.lines(evidence.class_names[1], _unlabelled_units(promise), 1 - _spent(promise))
        promise = promise.changed({"prevalence": (found.low, found.high)})
    if promise.prevalence is None:
        raise RunError("the promise names no prevalence")
    target = replace(promise.target, delta=promise.delta - _spent(promise))
    calib = evidence.calib
    policies = policy_path(calib.stages, calib.labels, evidence.rules, path)
    certificate = certify_prevalence(
        policies,
        calib.labels,
        replace(class_shares(promise.prevalence, evidence.class_names), found=promise.unlabelled is not None),
        target,
        sampling_of(evidence),
        test=PathTest(CASCADE_METHOD) if isinstance(policies, CascadePath) else RANK_START,
        certified_on=certified_on(evidence),
    )
    return replace(certificate, delta=promise.delta), lines


def find_prevalence(evidence: Evidence) -> FoundPrevalence:
    """The share of class 1 among the promise's unlabelled images. Reads labels of val_calib.

    Raises PrevalenceUnknown if the images cannot tell it, or if their scores are no mixture of those of the
    two classes.
    """
    promise, calib, unlabelled = evidence.promise, evidence.calib, evidence.unlabelled
    if unlabelled is None or promise.unlabelled is None:
        raise PrevalenceUnknown(
            "no prevalence has been found; `demur calibrate RUN --prevalence-from SOURCE` finds it"
        )
    known = calib.take(independent_units(len(calib), sampling_of(evidence)).rows)
    new = unlabelled.take(independent_units(len(unlabelled), promise.sampling(unlabelled.groups)).rows)
    rates = CalledRates.of(_called(known), known.labels, _called(new))
    low, high = prevalence_interval(rates, promise.unlabelled.delta)
    scores = _log_odds(evidence, known), _log_odds(evidence, new)
    check = check_mixture(scores[0], known.labels, scores[1], seed=promise.seed)
    if check.rejected:
        raise PrevalenceUnknown(
            f"the scores of {promise.unlabelled.source} are no mixture of the scores of the two classes "
            f"(p = {check.p_value:.3g}): the images themselves have changed, not only how often each class "
            "occurs, so no calibration image speaks for them; labelled images of this kind do"
        )
    posterior = 1.0 / (1.0 + np.exp(-scores[1].clip(-700.0, 700.0)))
    return FoundPrevalence(
        round(math.floor(low / HUNDREDTH) * HUNDREDTH, 2),
        round(math.ceil(high / HUNDREDTH) * HUNDREDTH, 2),
        (low, high),
        saerens_prevalence(posterior, float(np.mean(known.labels))),
        check.p_value,
    )


def planned_interval(evidence: Evidence, unlabelled: SplitScores) -> tuple[float, float]:
    """A rough interval of the share from labels of val_select alone, for which a path is planned."""
    select = evidence.select
    zero, one = (float(_called(select)[select.labels == label].mean()) for label in (0, 1))
    seen = float(_called(unlabelled).mean())
    point = min(max((seen - zero) / (one - zero), 0.0), 1.0) if one > zero else 0.5
    return max(0.0, point - PLANNED_MARGIN), min(1.0, point + PLANNED_MARGIN)


def _called(split: SplitScores) -> BoolArray:
    """Whether the last stage calls each image class 1."""
    return np.asarray(split.stages[-1].logits.argmax(axis=-1) == 1, dtype=np.bool_)


def _log_odds(evidence: Evidence, split: SplitScores) -> FloatArray:
    """Log odds of class 1 by the last stage, [n]."""
    logits = evidence.rules[-1].calibrated(split.stages[-1]).logits
    return np.asarray(logits[:, 1] - logits[:, 0], dtype=np.float64)


def _spent(promise: PromiseConfig) -> float:
    return 0.0 if promise.unlabelled is None else promise.unlabelled.delta


def _unlabelled_units(promise: PromiseConfig) -> str:
    images = promise.unlabelled
    return "images" if images is None else f"{images.units:,} independent images of {images.source}"


def _without_interval(evidence: Evidence, why: str) -> Certificate:
    calib = evidence.calib
    units: Units = independent_units(len(calib), sampling_of(evidence))
    return Issuer(PREVALENCE_METHOD, evidence.target, units, certified_on(evidence)).infeasible(why)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
