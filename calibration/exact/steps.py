"""The arithmetic of a fixed-sequence walk: what is counted at each step, which steps are tested, and
which of them passes. A row is a step of the path, strict to loose; a column is a part (`parts.Parts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from calibration.bounds import milestones, most_errors, randomised_binomial_p_value
from calibration.certificate import RiskTarget
from calibration.scores import BoolArray, FloatArray, IntArray

UNTESTED_SHARE = 0.25
"""Between two milestones (the fewest answered that k and k + 1 errors certify) the number of allowed
errors stays k while the expected number grows: just before the next milestone a walk is most likely
to fail on an error that the milestone would have allowed. The rank start therefore leaves the last
quarter of each such stretch untested. In the reference world this is worth .01 of coverage at
n = 1000 and nothing at n = 5000. The choice uses the number answered only, never a label."""


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What was counted on the calibration units at each step, for each part; [T, P]."""

    answered: IntArray
    errors: IntArray

    @classmethod
    def empty(cls, steps: int, parts: int) -> Self:
        """Zeros, to be filled in."""
        return cls(np.zeros((steps, parts), dtype=np.int64), np.zeros((steps, parts), dtype=np.int64))

    def take(self, steps: IntArray) -> StepCounts:
        return StepCounts(self.answered[steps], self.errors[steps])


def count(confidence: FloatArray, errors: BoolArray, thresholds: FloatArray) -> tuple[IntArray, IntArray]:
    """Numbers (answered [T], answered wrongly [T]) at each threshold; `confidence >= t` answers.

    Two sorts of values instead of T comparisons with all of n.
    """
    everything, wrong = np.sort(confidence), np.sort(confidence[errors])
    return (
        len(everything) - np.searchsorted(everything, thresholds, side="left"),
        len(wrong) - np.searchsorted(wrong, thresholds, side="left"),
    )


def start_of(reachable: int, target: RiskTarget) -> int:
    """The number answered at which a walk starts: what one error certifies, where so many can be
    answered, else what none certifies."""
    marks = milestones(target.alpha, target.delta, reachable)
    return int(marks[1] if len(marks) > 1 and reachable >= marks[1] else marks[0])


def steps_to_test(answered: IntArray, target: RiskTarget) -> BoolArray:
    """Which steps the rank start tests, given the number answered at each in each part, [T, P] -> [T].

    Those from which every part has reached its start. Of a single part also the last
    `UNTESTED_SHARE` before each further milestone is left out (of several parts, one is always
    shortly before a milestone), except for the last step.
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
    """Which steps the (randomised, where a uniform is given) exact test passes at level delta, [T].

    "In some part the risk exceeds alpha" is a union of hypotheses; it is refuted at level delta where
    each of them is (intersection-union test, Berger 1982), so no part pays for the others.
    """
    if uniform is None:
        passed = counts.errors <= most_errors(counts.answered, target.alpha, target.delta)
    else:
        p_values = randomised_binomial_p_value(counts.errors, counts.answered, target.alpha, uniform)
        passed = p_values <= target.delta
    return np.asarray(passed.all(axis=1), dtype=np.bool_)


def last_before_failure(passed: BoolArray) -> int:
    """Index of the last step before the first failure; -1 where the first step fails."""
    return len(passed) - 1 if passed.all() else int(np.argmin(passed)) - 1
