"""From the outputs of a labelled split to an exact certificate of a policy of one or two stages.

The stage rules are applied along a planned path, and the path is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.decision import OperatingPoint, StageRule
from calibration.encoding import encode_threshold
from calibration.exact.cascade import CASCADE_METHOD, CascadePath, CascadeScores
from calibration.exact.fixed_sequence import RANK_START
from calibration.exact.group_betting import certify_path_by_betting
from calibration.exact.path_test import PathTest, certify_path
from calibration.exact.paths import PolicyPath, StagePath
from calibration.exact.stage_scores import StageScores
from calibration.exact.strata import Parts
from calibration.groups import Sampling
from calibration.inputs import read_thresholds
from calibration.scores import FloatArray, IntArray, StageOutputs

Procedure = Literal["exact", "betting"]
"""`exact`: the exact test on one frame per group. `betting`: all frames of each group, by betting on group
means (images without groups are tested by `exact`)."""


def stage_scores(
    stages: Sequence[StageOutputs], labels: IntArray, rules: Sequence[StageRule]
) -> list[StageScores]:
    """Confidence, error and label [n] of each stage under its rule; labels [n]."""
    columns = []
    for raw, rule in zip(stages, rules, strict=True):
        answer = np.asarray(raw.logits.argmax(axis=-1), dtype=np.int64)
        columns.append(StageScores.read(rule.confidence(raw), answer != labels, answer, raw.logits.shape[-1]))
    return columns


def policy_path(
    stages: Sequence[StageOutputs], labels: IntArray, rules: Sequence[StageRule], path: FloatArray
) -> PolicyPath:
    """The policies along a planned path [T, stages], applied to one split."""
    scores = stage_scores(stages, labels, rules)
    if len(scores) == 1:
        return StagePath(scores[0], read_thresholds(path[:, 0]))
    return CascadePath(CascadeScores(*scores), path)


def certify_policies(
    policies: PolicyPath,
    target: RiskTarget,
    parts: Parts,
    sampling: Sampling,
    procedure: Procedure,
    *,
    planned: RiskTarget | None = None,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """The certificate of the last policy of the path that keeps the promise in every part.

    `planned` chooses the steps that are tested, as in `certify_path`.
    """
    if procedure == "betting" and sampling.groups is not None:
        return certify_path_by_betting(
            policies, target, sampling, parts, planned=planned, certified_on=certified_on
        )
    test = PathTest(CASCADE_METHOD) if isinstance(policies, CascadePath) else RANK_START
    return certify_path(
        policies, target, parts, sampling, test=test, planned=planned, certified_on=certified_on
    )


def at_thresholds(rules: Sequence[StageRule], thresholds: Sequence[float]) -> OperatingPoint:
    """The rules at one point of a path."""
    return OperatingPoint(
        tuple(
            replace(rule, threshold=encode_threshold(value))
            for rule, value in zip(rules, thresholds, strict=True)
        )
    )


def with_thresholds(rules: Sequence[StageRule], certificate: Certificate) -> OperatingPoint:
    """The rules at the certified thresholds; a stage with an infinite threshold answers nothing."""
    thresholds = certificate.threshold
    if thresholds is None:
        return OperatingPoint(tuple(replace(rule, threshold=None) for rule in rules))
    return at_thresholds(rules, thresholds if isinstance(thresholds, tuple) else (thresholds,))
