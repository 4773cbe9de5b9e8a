"""What a certificate may look at, and what it makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration.cascade_planning import plan_cascade
from calibration.certificate import Certificate, RiskTarget
from calibration.decision import OperatingPoint, StageRule
from calibration.planning import plan_thresholds
from calibration.scores import BoolArray, FloatArray
from trainer.promise import PromiseConfig
from trainer.score_table import SplitScores


@dataclass(frozen=True, slots=True)
class Policy:
    """An operating point with what was proven about it."""

    point: OperatingPoint
    certificate: Certificate
    path: FloatArray | None
    """[T, stages], the thresholds in the order in which they were tested; None where none were planned"""
    scrc: Mapping[str, Any] | None = None
    """The fitted parameters where the method is SCRC"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a certificate may look at."""

    select: SplitScores
    """val_select: plans"""
    calib: SplitScores
    """val_calib: proves"""
    rules: tuple[StageRule, ...]
    """Fitted on val_select, without thresholds; one a stage"""
    costs: tuple[float, ...]
    """Of an image in each stage, in any unit that they share"""
    promise: PromiseConfig

    @property
    def target(self) -> RiskTarget:
        return self.promise.target


def plan_path(evidence: Evidence) -> FloatArray:
    """The order of thresholds, [T, stages], from the labels of val_select alone."""
    columns = columns_of(evidence.select, evidence.rules)
    n_calibration = evidence.calib.n_groups
    if len(columns) == 1:
        ((confidence, errors),) = columns
        return plan_thresholds(confidence, errors, n_calibration, evidence.target)[:, None]
    (confidence_a, errors_a), (confidence_b, errors_b) = columns
    return plan_cascade(
        confidence_a,
        errors_a,
        confidence_b,
        errors_b,
        evidence.costs[0],
        evidence.costs[1],
        n_calibration,
        evidence.target,
        slack=evidence.promise.slack,
    )


def at_thresholds(rules: Sequence[StageRule], thresholds: Sequence[float]) -> OperatingPoint:
    """The rules at one point of a path."""
    return OperatingPoint(
        tuple(
            replace(rule, threshold=None if math.isinf(value) else float(value))
            for rule, value in zip(rules, thresholds, strict=True)
        )
    )


def columns_of(scores: SplitScores, rules: Sequence[StageRule]) -> list[tuple[FloatArray, BoolArray]]:
    """(confidence [n], errors [n]) of each stage."""
    return [
        (rule.confidence(raw), np.asarray(raw.logits.argmax(axis=-1) != scores.labels, dtype=np.bool_))
        for raw, rule in zip(scores.stages, rules, strict=True)
    ]
