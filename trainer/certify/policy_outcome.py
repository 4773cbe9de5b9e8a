"""A policy applied to a labelled split: which images are answered, by which stage, and which wrongly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.decision import OperatingPoint, StageDecisions, decide_stage
from calibration.scores import BoolArray, FloatArray, IntArray
from trainer.scoring.split_scores import SplitScores


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """A policy applied to n labelled images; every array has n rows."""

    labels: IntArray
    groups: NDArray[np.str_] | None
    answered: BoolArray
    by_stage: IntArray
    """Index of the last computed stage: the one that answers, or the last stage."""
    forced: IntArray
    """Most probable label of that stage, also without an answer."""
    probabilities: FloatArray
    """[n, K] of that stage"""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def wrong(self) -> BoolArray:
        """Answered and wrong."""
        return np.asarray(self.answered & (self.forced != self.labels), dtype=np.bool_)

    @property
    def coverage(self) -> float:
        return float(self.answered.mean()) if len(self) else 0.0

    @property
    def stage_a_share(self) -> float:
        """Share of stage A among the answers; 0 if nothing is answered."""
        return float((self.by_stage[self.answered] == 0).mean()) if self.answered.any() else 0.0


def apply_policy(scores: SplitScores, point: OperatingPoint) -> PolicyOutcome:
    """Decide every image of a split by the rule that decides online too."""
    if len(scores.stages) != len(point.stages):
        raise ValueError(f"{len(scores.stages)} stages of scores for {len(point.stages)} stage rules")
    outcomes = [decide_stage(raw, rule) for raw, rule in zip(scores.stages, point.stages, strict=True)]
    stage = _last_stage(outcomes)
    rows = np.arange(len(scores))
    return PolicyOutcome(
        labels=scores.labels,
        groups=scores.groups,
        answered=np.stack([outcome.answered for outcome in outcomes])[stage, rows],
        by_stage=stage,
        forced=np.stack([_answers(outcome) for outcome in outcomes])[stage, rows],
        probabilities=np.stack([outcome.probabilities for outcome in outcomes])[stage, rows],
    )


def _last_stage(outcomes: list[StageDecisions]) -> IntArray:
    """[n], the first stage that answers, or else the last stage."""
    stage = np.full(len(outcomes[0]), len(outcomes) - 1, dtype=np.int64)
    for index in reversed(range(len(outcomes) - 1)):
        stage[outcomes[index].answered] = index
    return stage


def _answers(outcome: StageDecisions) -> IntArray:
    """[n], the answer (the only member of the set) of answered images, otherwise the most probable label."""
    return np.asarray(
        np.where(outcome.answered, outcome.sets.argmax(axis=-1), outcome.labels), dtype=np.int64
    )
