"""Paths: a policy of selective answers at each step, planned beforehand, strict to loose.

A test of a path needs the images that a step answers, those that it answers wrongly, and the labels that it
gives. A threshold that is lowered gives nested answers; the pairs of a cascade (`calibration.exact.cascade`)
need not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.bounds import milestones
from calibration.certificate import RiskTarget
from calibration.decision import answers
from calibration.exact.stage_scores import StageScores
from calibration.exact.steps import StepCounts, count
from calibration.exact.strata import Parts
from calibration.inputs import read_thresholds
from calibration.scores import BoolArray, FloatArray, IntArray

Threshold = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """Answers of the policy at one step; [n] each."""

    answered: BoolArray
    wrong: BoolArray
    """Answered, with a wrong label"""
    answer: IntArray
    """The label that is given, or would be given if the image were answered"""


@dataclass(frozen=True, slots=True)
class Entries:
    """First step of the path that answers each image, and its outcome there; [n] each."""

    earliness: FloatArray
    """Higher for an earlier step"""
    wrong: BoolArray
    part: IntArray


class PolicyPath(Protocol):
    """T policies in the order of testing, applied to n labelled images."""

    @property
    def nested(self) -> bool:
        """Images answered at a step are answered at all later ones."""

    @property
    def keeps_answers(self) -> bool:
        """Images answered at a step get the same answer at all later ones."""

    @property
    def n(self) -> int: ...
    @property
    def steps(self) -> int: ...
    def take(self, rows: IntArray) -> Self:
        """The same path on some of the images."""

    def refined(self, parts: Parts, target: RiskTarget) -> Self:
        """The path with further steps at the ranks at which one more error is allowed, if it can be refined;
        reads no label."""

    def threshold(self, step: int) -> Threshold: ...
    def outcome(self, step: int) -> StepOutcome: ...
    def count(self, parts: Parts) -> StepCounts: ...
    def entries(self, parts: Parts) -> Entries: ...


@dataclass(frozen=True, slots=True)
class StagePath:
    """One classifier, one threshold that is lowered."""

    stage: StageScores
    thresholds: FloatArray | None
    """[T]; None: the ranks of the confidences themselves, after `refined`"""

    @classmethod
    def read(
        cls,
        confidence: ArrayLike,
        errors: ArrayLike,
        thresholds: ArrayLike | None,
        answer: ArrayLike | None = None,
        classes: int = 2,
    ) -> Self:
        """confidence, errors [n]; thresholds [T], strict to loose; `answer` [n], the label that would
        be given, for a promise about single answers. ValueError for malformed input."""
        stage = StageScores.read(confidence, errors, answer, classes)
        return cls(stage, None if thresholds is None else read_thresholds(thresholds))

    @property
    def n(self) -> int:
        return len(self.stage)

    @property
    def nested(self) -> bool:
        return True

    @property
    def keeps_answers(self) -> bool:
        return True

    @property
    def steps(self) -> int:
        return len(self._grid)

    def take(self, rows: IntArray) -> Self:
        return replace(self, stage=self.stage.take(rows))

    def refined(self, parts: Parts, target: RiskTarget) -> Self:
        if self.thresholds is None:
            return replace(self, thresholds=np.unique(self.stage.confidence)[::-1])
        ranks = [self.thresholds]
        part = parts.of(self.stage.answer)
        for code in range(len(parts)):
            ascending = np.sort(self.stage.confidence[part == code])
            marks = milestones(target.alpha, target.delta, len(ascending))
            at_marks = ascending[len(ascending) - marks[marks <= len(ascending)]]
            inside = (at_marks <= self.thresholds[0]) & (at_marks >= self.thresholds[-1])
            ranks.append(at_marks[inside])
        return replace(self, thresholds=np.unique(np.concatenate(ranks))[::-1])

    def threshold(self, step: int) -> float:
        return float(self._grid[step])

    def outcome(self, step: int) -> StepOutcome:
        answered = answers(self.stage.confidence, self.threshold(step))
        return StepOutcome(answered, answered & self.stage.wrong, self.stage.answer)

    def count(self, parts: Parts) -> StepCounts:
        stage, part = self.stage, parts.of(self.stage.answer)
        counted = [
            count(stage.confidence[part == code], stage.wrong[part == code], self._grid)
            for code in range(len(parts))
        ]
        return StepCounts(
            np.stack([m for m, _ in counted], axis=1), np.stack([k for _, k in counted], axis=1)
        )

    def entries(self, parts: Parts) -> Entries:
        return Entries(self.stage.confidence, self.stage.wrong, parts.of(self.stage.answer))

    @property
    def _grid(self) -> FloatArray:
        if self.thresholds is None:
            raise ValueError(
                "thresholds is None; a test without ranks needs a grid that was planned beforehand"
            )
        return self.thresholds
