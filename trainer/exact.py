"""The exact certificate of a run: one walk along the planned path, for whatever is promised along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.cascade import CASCADE_METHOD
from calibration.certificate import Certificate, RiskTarget
from calibration.group_betting import certify_path_by_betting
from calibration.groups import intra_group_correlation
from calibration.parts import Parts
from calibration.scores import FloatArray
from calibration.several_risks import Walked, climb
from calibration.walk import certify_path
from trainer.evidence import Evidence, Policy, parts_of, plan_path, policy_path, with_thresholds
from trainer.score_table import SplitScores
from trainer.telling import part_lines, risk_lines

MOST_CORRELATED = 0.15
"""Up to this correlation of the errors within groups, betting on all frames proves more than one frame a
group does (see `calibration.group_betting`)."""


def exact(evidence: Evidence) -> Policy:
    """The cascade as one policy, promised over all answers, in each part of them, or at several risks."""
    walk = _Walk.of(evidence)
    if evidence.promise.alphas:
        return _several_risks(evidence, walk)
    path, parts = plan_path(evidence), parts_of(evidence)
    certificate = walk.prove(path, evidence.target, parts)
    told: tuple[str, ...] = ()
    if parts.each is not None and certificate.feasible:
        overall = walk.prove(path, evidence.target, Parts.whole(len(evidence.calib)))
        told = part_lines(certificate, overall.coverage)
    return Policy(with_thresholds(evidence.rules, certificate), certificate, path, told=told)


def _several_risks(evidence: Evidence, walk: _Walk) -> Policy:
    """Each risk along the path that is planned for it; the first one's policy is served."""
    whole = Parts.whole(len(evidence.calib))

    def walk_to(target: RiskTarget) -> Walked:
        path = plan_path(evidence, target)
        certificate = walk.prove(path, target, whole)
        loosest = tuple(path[-1].tolist())
        return Walked(certificate, certificate.threshold in (loosest, loosest[0]))

    ladder = climb(walk_to, evidence.promise.alphas, evidence.target)
    first, *others = ladder.certificates
    return Policy(
        with_thresholds(evidence.rules, first),
        first,
        plan_path(evidence),
        told=risk_lines(ladder, evidence.target.delta),
        also=tuple(others),
    )


@dataclass(frozen=True, slots=True)
class _Walk:
    """How the calibration split is read, fixed before a label of it is."""

    evidence: Evidence
    all_frames: bool

    @classmethod
    def of(cls, evidence: Evidence) -> _Walk:
        return cls(evidence, reads_all_frames(evidence))

    def prove(self, path: FloatArray, target: RiskTarget, parts: Parts) -> Certificate:
        evidence, calib, promise = self.evidence, self.evidence.calib, self.evidence.promise
        policies = policy_path(calib, evidence.rules, path)
        how: dict[str, Any] = {"split_digest": calib.digest, "engine": calib.engine}
        if self.all_frames and calib.groups is not None:
            return certify_path_by_betting(policies, target, calib.groups, parts, **how)
        method = CASCADE_METHOD if len(evidence.rules) == 2 else "exact fixed sequence, rank start"
        return certify_path(
            policies,
            target,
            parts,
            calib.groups,
            method=method,
            unit=promise.unit,
            seed=promise.seed,
            **how,
        )


def reads_all_frames(evidence: Evidence) -> bool:
    """Whether the certificate bets on all frames of each group, as asked for or as val_select shows."""
    promise, select = evidence.promise, evidence.select
    if promise.frames == "one" or promise.unit == "image" or evidence.calib.groups is None:
        return False
    return promise.frames == "all" or correlation_of_errors(select) <= MOST_CORRELATED


def correlation_of_errors(select: SplitScores) -> float:
    """How alike the frames of a group are in being answered wrongly by the last stage; NaN where it is
    not defined: no groups, or no errors."""
    if select.groups is None or len(select) == 0:
        return float("nan")
    errors = select.stages[-1].logits.argmax(axis=-1) != select.labels
    return float(intra_group_correlation(np.asarray(errors, dtype=np.float64), select.groups))
