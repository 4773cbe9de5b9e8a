"""Audit curves of a bundle: how likely an answer is audited at its confidence, fitted on val_select."""

from __future__ import annotations

import numpy as np

from calibration.decision import OperatingPoint
from calibration.error_curve import fit_error_curve
from calibration.scores import FloatArray
from calibration.sequential.audits import AuditCurve, audit_weights
from trainer.certify.policy_outcome import apply_policy
from trainer.scoring.split_scores import SplitScores

_UNIFORM = AuditCurve((0.0,), (1.0,))


def audit_curves(select: SplitScores, point: OperatingPoint) -> tuple[AuditCurve, ...]:
    """The audit curve of each stage of a policy; empty if it answers nothing on val_select.

    The error curve of a stage is fitted on all images that reach it, since the answered ones alone hold too
    few errors. The weights have mean 1 over the answers of both stages together, as the share of audits is
    one for all of them.
    """
    outcome = apply_policy(select, point)
    if not outcome.answered.any():
        return ()
    rates, confidences = np.empty(len(select)), np.empty(len(select))
    for index, (raw, rule) in enumerate(zip(select.stages, point.stages, strict=True)):
        reached = outcome.by_stage >= index
        if reached.any():
            confidence = rule.confidence(raw.take(reached))
            wrong = raw.logits[reached].argmax(axis=-1) != select.labels[reached]
            confidences[reached] = confidence
            rates[reached] = fit_error_curve(confidence, wrong)
    weights = np.ones(len(select))
    weights[outcome.answered] = audit_weights(rates[outcome.answered])
    return tuple(
        _curve(confidences[rows], weights[rows])
        for rows in (outcome.answered & (outcome.by_stage == index) for index in range(len(point.stages)))
    )


def _curve(confidence: FloatArray, weight: FloatArray) -> AuditCurve:
    """The curve of one stage; uniform if it answers nothing on val_select."""
    return AuditCurve.through(confidence, weight) if len(confidence) else _UNIFORM
