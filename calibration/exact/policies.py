"""From the outputs of a labelled split to a certificate: rules applied along a planned path, and the walk.

The one way in which a policy of one or two stages is proven exactly, whoever holds the scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import Certificate, RiskTarget
from calibration.decision import OperatingPoint, StageRule
from calibration.exact.cascade import CASCADE_METHOD, CascadePath, CascadeScores
from calibration.exact.group_betting import certify_path_by_betting
from calibration.exact.path_test import certify_path
from calibration.exact.paths import PolicyPath, StagePath
from calibration.exact.strata import Parts
from calibration.groups import Unit
from calibration.scores import BoolArray, FloatArray, IntArray, StageOutputs

STAGE_METHOD = "exact fixed sequence, rank start"


@dataclass(frozen=True, slots=True)
class StageColumns:
    """One stage's outputs as certificates read them; [n] each."""

    confidence: FloatArray
    errors: BoolArray
    answer: IntArray
    """The label that would be given"""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a calibration split is read, fixed before a label of it is."""

    unit: Unit = "group"
    seed: int = 0
    """Draws the frame of each group, where one is read"""
    all_frames: bool = False
    """Bet on all frames of each group instead of reading one"""


def columns_of(
    stages: Sequence[StageOutputs], labels: IntArray, rules: Sequence[StageRule]
) -> list[StageColumns]:
    """What certificates read of each stage's outputs [n]."""
    columns = []
    for raw, rule in zip(stages, rules, strict=True):
        answer = np.asarray(raw.logits.argmax(axis=-1), dtype=np.int64)
        columns.append(StageColumns(rule.confidence(raw), answer != labels, answer))
    return columns


def policy_path(
    stages: Sequence[StageOutputs], labels: IntArray, rules: Sequence[StageRule], path: FloatArray
) -> PolicyPath:
    """The policies along a planned path [T, stages], applied to one split."""
    columns, classes = columns_of(stages, labels, rules), stages[0].logits.shape[1]
    if len(columns) == 1:
        (stage,) = columns
        return StagePath.read(stage.confidence, stage.errors, path[:, 0], stage.answer, classes)
    a, b = columns
    return CascadePath(
        CascadeScores.read(
            a.confidence, a.errors, b.confidence, b.errors, a.answer, b.answer, classes=classes
        ),
        path,
    )


def walk(
    policies: PolicyPath,
    target: RiskTarget,
    parts: Parts,
    groups: ArrayLike | None,
    reading: Reading,
    *,
    split_digest: str | None,
    engine: str | None,
    planned: RiskTarget | None = None,
) -> Certificate:
    """The exact certificate of the last policy of the path that keeps the promise in every part.

    `planned` chooses the steps that are tested, as in `certify_path`.
    """
    how: dict[str, Any] = {"split_digest": split_digest, "engine": engine, "planned": planned}
    if reading.all_frames and groups is not None:
        return certify_path_by_betting(policies, target, groups, parts, **how)
    method = CASCADE_METHOD if isinstance(policies, CascadePath) else STAGE_METHOD
    return certify_path(
        policies, target, parts, groups, method=method, unit=reading.unit, seed=reading.seed, **how
    )


def at_thresholds(rules: Sequence[StageRule], thresholds: Sequence[float]) -> OperatingPoint:
    """The rules at one point of a path."""
    return OperatingPoint(
        tuple(
            replace(rule, threshold=None if math.isinf(value) else float(value))
            for rule, value in zip(rules, thresholds, strict=True)
        )
    )


def with_thresholds(rules: Sequence[StageRule], certificate: Certificate) -> OperatingPoint:
    """The rules at the certified thresholds; a stage whose threshold is infinite answers nothing."""
    thresholds = certificate.threshold
    if thresholds is None:
        return OperatingPoint(tuple(replace(rule, threshold=None) for rule in rules))
    return at_thresholds(rules, thresholds if isinstance(thresholds, tuple) else (thresholds,))
