"""Arithmetic of a fixed-sequence test: counts at each step, the steps that are tested, and those that pass.

A row is a step of the path, strict to loose; a column is a part (`strata.Parts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from calibration.bounds import milestones, most_errors, randomised_binomial_p_value
from calibration.certificate import RiskTarget
from calibration.scores import BoolArray, FloatArray, IntArray

UNTESTED_SHARE = 0.25
"""Share of the steps before each milestone that the rank start leaves untested.

Between two milestones (the fewest answered at which k and k + 1 errors certify) the number of allowed
errors stays k while the expected number grows: a sequence is most likely to fail just before the next
milestone, on an error that the milestone allows. In the reference world a quarter gains .01 of coverage at
n = 1000 and nothing at n = 5000. The choice depends on the number answered, never on a label."""


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Counts on the calibration units at each step, for each part; [T, P]."""

    answered: IntArray
    errors: IntArray

    @classmethod
    def empty(cls, steps: int, parts: int) -> Self:
        """Zeros [T, P], filled in by the caller."""
        return cls(np.zeros((steps, parts), dtype=np.int64), np.zeros((steps, parts), dtype=np.int64))

    def take(self, steps: IntArray) -> StepCounts:
        """The counts at some of the steps."""
        return StepCounts(self.answered[steps], self.errors[steps])


def count(confidence: FloatArray, errors: BoolArray, thresholds: FloatArray) -> tuple[IntArray, IntArray]:
    """Numbers (answered [T], answered wrongly [T]) at each threshold; `confidence >= t` answers.

    Sorts twice instead of comparing T times with all n.
    """
    everything, wrong = np.sort(confidence), np.sort(confidence[errors])
    return (
        len(everything) - np.searchsorted(everything, thresholds, side="left"),
        len(wrong) - np.searchsorted(wrong, thresholds, side="left"),
    )


def start_of(reachable: int, target: RiskTarget) -> int:
    """Number answered at which the tests start: the fewest at which one error certifies if so many can be
    answered, else the fewest at which none certifies."""
    marks = milestones(target.alpha, target.delta, reachable)
    return int(marks[1] if len(marks) > 1 and reachable >= marks[1] else marks[0])


def steps_to_test(answered: IntArray, target: RiskTarget) -> BoolArray:
    """Steps that the rank start tests, given the number answered at each in each part, [T, P] -> [T].

    All steps from which every part has reached its start. With a single part, the last `UNTESTED_SHARE`
    before each further milestone is left out too, except for the last step (of several parts, one is always
    shortly before a milestone).
    """
    if len(answered) == 0:
        return np.zeros(0, dtype=np.bool_)
    starts = np.array([start_of(int(reachable), target) for reachable in answered[-1]])
    started = np.asarray((answered >= starts).all(axis=1), dtype=np.bool_)
    if answered.shape[1] > 1:
        return started
    alone = answered[:, 0]
    marks = milestones(target.alpha, target.delta, int(alone.max()))
    allowed = np.clip(np.searchsorted(marks, alone, side="right") - 1, 0, len(marks) - 2)
    stretch = marks[allowed + 1] - marks[allowed]
    early = alone < marks[allowed] + np.ceil((1.0 - UNTESTED_SHARE) * stretch)
    early[-1] = True
    return np.asarray(started & early, dtype=np.bool_)


def passes(counts: StepCounts, target: RiskTarget, uniform: float | None) -> BoolArray:
    """Steps that pass the exact test at level delta, [T]; a `uniform` makes it the randomised test.

    "In some part the risk exceeds alpha" is a union of hypotheses; it is refuted at level delta if each of
    them is (intersection-union test, Berger 1982), so that each part is tested at the full delta.
    """
    if uniform is None:
        passed = counts.errors <= most_errors(counts.answered, target.alpha, target.delta)
    else:
        p_values = randomised_binomial_p_value(counts.errors, counts.answered, target.alpha, uniform)
        passed = p_values <= target.delta
    return np.asarray(passed.all(axis=1), dtype=np.bool_)


def last_before_failure(passed: BoolArray) -> int:
    """Index of the last step before the first failure; -1 if the first step fails."""
    return len(passed) - 1 if passed.all() else int(np.argmin(passed)) - 1
