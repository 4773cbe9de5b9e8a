"""Certificates by selective conformal risk control, for the last stage; stage A is left out of the policy.

SCRC promises something about one model's sets, so a cascade answers by stage B alone here.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from calibration.certificate import Certificate
from calibration.decision import OperatingPoint, StageRule
from calibration.scrc import ScrcI, ScrcT, plan_scrc_t, selector_and_classifier
from trainer.certify.evidence import Evidence, Policy

CONFIDENCE_GRID = 20
"""Every point of SCRC-I's grid costs a little; twenty confidences planned on val_select are plenty."""
SET_GRID = (0.5,)
"""For two classes a set at 1/2 is the most probable label: no other point answers more."""


def scrc_inductive(evidence: Evidence) -> Policy:
    """SCRC-I: holds with confidence 1 - delta over the draw of val_calib; needs very many labels."""
    confidence, _ = selector_and_classifier(evidence.select.stages[-1], evidence.rules[-1])
    quantiles = np.quantile(confidence, np.linspace(1.0, 0.0, CONFIDENCE_GRID + 1)[1:])
    calib = evidence.calib
    fitted = ScrcI.fit(
        *selector_and_classifier(calib.stages[-1], evidence.rules[-1]),
        calib.labels,
        np.unique(quantiles)[::-1],
        SET_GRID,
        evidence.target,
        groups=calib.groups,
        unit=evidence.promise.unit,
        seed=evidence.promise.seed,
    )
    return _policy(evidence, fitted)


def scrc_transductive(evidence: Evidence) -> Policy:
    """SCRC-T: holds in expectation over draws of val_calib, with no confidence level."""
    select, calib, rule = evidence.select, evidence.calib, evidence.rules[-1]
    plan = plan_scrc_t(
        *selector_and_classifier(select.stages[-1], rule), select.labels, calib.n_groups, evidence.target
    )
    fitted = ScrcT.fit(
        *selector_and_classifier(calib.stages[-1], rule),
        calib.labels,
        evidence.target,
        acceptance=plan.acceptance,
        answer_share=plan.answer_share,
        groups=calib.groups,
        unit=evidence.promise.unit,
        seed=evidence.promise.seed,
    )
    return _policy(evidence, fitted)


def _policy(evidence: Evidence, fitted: ScrcI | ScrcT) -> Policy:
    certificate = fitted.certificate(
        evidence.target, split_digest=evidence.calib.digest, engine=evidence.calib.engine
    )
    idle = tuple(replace(rule, threshold=None) for rule in evidence.rules[:-1])
    point = OperatingPoint((*idle, fitted.stage_rule(evidence.rules[-1])))
    return Policy(point, _for_all_stages(certificate, point.stages), None, fitted.to_dict())


def _for_all_stages(certificate: Certificate, rules: tuple[StageRule, ...]) -> Certificate:
    """The last stage's threshold as one a stage: those before it answer nothing."""
    if not isinstance(certificate.threshold, float) or len(rules) == 1:
        return certificate
    return replace(certificate, threshold=(*[math.inf] * (len(rules) - 1), certificate.threshold))
