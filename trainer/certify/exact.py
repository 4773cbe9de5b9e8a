"""The exact certificate of a run: one fixed sequence of tests along the planned path.

It covers all answers together, each part of them, or several risks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration.certificate import Certificate, RiskTarget
from calibration.exact.fallback import RiskProof, RiskSequence, fallback_procedure
from calibration.exact.look_ahead import certify_look_ahead
from calibration.exact.paths import StagePath
from calibration.exact.policies import certify_policies, policy_path, stage_scores, with_thresholds
from calibration.exact.strata import Parts
from calibration.groups import intra_group_correlation
from calibration.scores import FloatArray
from trainer.certify.evidence import (
    Evidence,
    Policy,
    certified_on,
    for_all_stages,
    parts_of,
    plan_path,
    sampling_of,
)
from trainer.certify.prevalence import prove_shares
from trainer.certify.wording import part_lines, risk_lines, share_lines
from trainer.scoring.split_scores import SplitScores

MOST_CORRELATED = 0.15
"""Correlation of the errors within groups up to which betting on all frames certifies more than one frame per
group (see `calibration.exact.group_betting`)."""


def exact(evidence: Evidence) -> Policy:
    """The cascade as one policy, certified over all answers, in each part of them, or at several risks."""
    if evidence.promise.alphas:
        return _several_risks(evidence)
    if evidence.promise.for_shares:
        return _for_shares(evidence)
    path, parts = plan_path(evidence), parts_of(evidence)
    certificate = _prove(evidence, path, evidence.target, parts)
    remarks: tuple[str, ...] = ()
    if parts.each is not None and certificate.feasible:
        overall = _prove(evidence, path, evidence.target, Parts.whole(len(evidence.calib)))
        remarks = part_lines(certificate, overall.coverage)
    return Policy(with_thresholds(evidence.rules, certificate), certificate, path, remarks=remarks)


def _for_shares(evidence: Evidence) -> Policy:
    """The cascade as one policy at every promised share of the classes."""
    path = plan_path(evidence)
    certificate, found = prove_shares(evidence, path)
    remarks = found
    if certificate.feasible:
        overall = _prove(evidence, path, evidence.target, Parts.whole(len(evidence.calib)))
        remarks += share_lines(certificate, overall)
    return Policy(with_thresholds(evidence.rules, certificate), certificate, path, remarks=remarks)


def look_ahead(evidence: Evidence) -> Policy:
    """The last stage alone, certified over all answers with the errors below the threshold too.

    The test needs answers that are nested along the path, which those of a cascade are not, so a stage before
    the last one answers nothing.
    """
    calib = evidence.calib
    (scores,) = stage_scores(calib.stages[-1:], calib.labels, evidence.rules[-1:])
    certificate = certify_look_ahead(
        StagePath(scores, None), evidence.target, sampling_of(evidence), certified_on(evidence)
    )
    certificate = for_all_stages(certificate, len(evidence.rules))
    return Policy(with_thresholds(evidence.rules, certificate), certificate, None)


def _several_risks(evidence: Evidence) -> Policy:
    """Each risk along a path of its own; the policy of the first risk is served.

    A path and its steps are planned for the risk's own share of delta: the amount that is handed on to it
    depends on labels of val_calib, which must not choose between paths or steps.
    """
    whole = Parts.whole(len(evidence.calib))
    promise = evidence.promise
    share = evidence.target.delta / len(promise.alphas)
    paths = {
        alpha: plan_path(evidence, replace(evidence.target, alpha=alpha, delta=share))
        for alpha in promise.alphas
    }

    def prove_risk(target: RiskTarget, planned: RiskTarget) -> RiskProof:
        path = paths[target.alpha]
        certificate = _prove(evidence, path, target, whole, planned)
        loosest = tuple(path[-1].tolist())
        return RiskProof(certificate, certificate.threshold in (loosest, loosest[0]))

    ladder = fallback_procedure(prove_risk, RiskSequence(tuple(promise.alphas)), evidence.target)
    first, *others = ladder.certificates
    return Policy(
        with_thresholds(evidence.rules, first),
        first,
        paths[promise.alpha],
        remarks=risk_lines(ladder, evidence.target.delta),
        further=tuple(others),
    )


def _prove(
    evidence: Evidence, path: FloatArray, target: RiskTarget, parts: Parts, planned: RiskTarget | None = None
) -> Certificate:
    calib = evidence.calib
    return certify_policies(
        policy_path(calib.stages, calib.labels, evidence.rules, path),
        target,
        parts,
        sampling_of(evidence),
        "betting" if reads_all_frames(evidence) else "exact",
        planned=planned,
        certified_on=certified_on(evidence),
    )


def reads_all_frames(evidence: Evidence) -> bool:
    """Whether the certificate bets on all frames of each group: as configured, or as val_select suggests."""
    promise, select = evidence.promise, evidence.select
    if (
        promise.for_shares
        or promise.frames == "one"
        or promise.unit == "image"
        or evidence.calib.groups is None
    ):
        return False
    return promise.frames == "all" or correlation_of_errors(select) <= MOST_CORRELATED


def correlation_of_errors(select: SplitScores) -> float:
    """Intra-group correlation of the errors of the last stage; NaN without groups or without errors."""
    if select.groups is None or len(select) == 0:
        return float("nan")
    errors = select.stages[-1].logits.argmax(axis=-1) != select.labels
    return float(intra_group_correlation(np.asarray(errors, dtype=np.float64), select.groups))
