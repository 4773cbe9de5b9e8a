"""The default certificate: thresholds tested strict to loose with the exact binomial test.

Fixed-sequence testing (Learn-then-Test, arXiv 2110.01052, section 4.2): the order of the thresholds
is fixed without looking at calibration labels, each is tested at the full delta, the first failure
ends the walk, and the last that passed is certified. If a threshold whose true risk exceeds alpha is
certified, then the first such threshold in the order was passed, which happens with probability at
most delta; no correction for the number of thresholds is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibration.bounds import milestones, most_errors, randomised_binomial_p_value
from calibration.certificate import Certificate, RiskTarget
from calibration.decision import answers
from calibration.groups import Unit, independent_units
from calibration.inputs import read_scores, read_thresholds
from calibration.issuing import Issuer, proven_risk
from calibration.scores import BoolArray, FloatArray, IntArray
from calibration.shortfall import describe_shortfall

Method = Literal["rank start", "grid", "randomised"]

UNTESTED_SHARE = 0.25
"""Between two milestones (the fewest answered that k and k + 1 errors certify) the number of allowed
errors stays k while the expected number grows: just before the next milestone a walk is most likely
to fail on an error that the milestone would have allowed. The rank start therefore leaves the last
quarter of each such stretch untested. In the reference world this is worth .01 of coverage at
n = 1000 and nothing at n = 5000. The choice uses the number answered only, never a label."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Thresholds in the order of testing with what was counted on the calibration units, all [T]."""

    thresholds: FloatArray
    answered: IntArray
    errors: IntArray


Steps = Callable[[FloatArray, FloatArray | None, RiskTarget], FloatArray]
"""(confidence [m] ascending, thresholds given, target) -> thresholds to test, strict to loose."""


def rank_steps(ascending: FloatArray, thresholds: FloatArray | None, target: RiskTarget) -> FloatArray:
    """The given grid, refined by calibration ranks, from the rank that certifies with one error.

    Inserted ranks are those at which one more error becomes allowed (473, 628, 773, ... at the default
    target), so far as they lie within the given grid; without a grid, every rank is a step. Where too
    little can be answered for one allowed error, the walk starts at the rank for none.
    """
    n = len(ascending)
    marks = milestones(target.alpha, target.delta, n)
    reachable = marks[marks <= n]
    if thresholds is None:
        grid = np.unique(ascending)[::-1]
    else:
        at_marks = ascending[n - reachable]
        inside = (at_marks <= thresholds[0]) & (at_marks >= thresholds[-1])
        grid = np.unique(np.concatenate([thresholds, at_marks[inside]]))[::-1]
    answered = n - np.searchsorted(ascending, grid, side="left")
    return grid[steps_to_test(answered, target)]


def steps_to_test(answered: IntArray, target: RiskTarget) -> BoolArray:
    """Which points of a path the rank start tests, given the number answered at each, [T].

    Those from the first milestone on (one allowed error where the path gets there, else none), less
    the last `UNTESTED_SHARE` before each further milestone; the last point is always tested.
    """
    if len(answered) == 0:
        return np.zeros(0, dtype=np.bool_)
    marks = milestones(target.alpha, target.delta, int(answered.max()))
    start = marks[1] if len(marks) > 1 and answered.max() >= marks[1] else marks[0]
    allowed = np.clip(np.searchsorted(marks, answered, side="right") - 1, 0, len(marks) - 2)
    stretch = marks[allowed + 1] - marks[allowed]
    tested = answered < marks[allowed] + np.ceil((1.0 - UNTESTED_SHARE) * stretch)
    tested[-1] = True
    return np.asarray(tested & (answered >= start), dtype=np.bool_)


def grid_steps(_ascending: FloatArray, thresholds: FloatArray | None, _target: RiskTarget) -> FloatArray:
    """The given grid as it is: nothing of the calibration split, not even a score, shapes the order."""
    if thresholds is None:
        raise ValueError("thresholds is None; this method walks a grid that was planned beforehand")
    return thresholds


STEPS: Mapping[str, Steps] = MappingProxyType(
    {"rank start": rank_steps, "grid": grid_steps, "randomised": grid_steps}
)


def count(confidence: FloatArray, errors: BoolArray, thresholds: FloatArray) -> tuple[IntArray, IntArray]:
    """Numbers (answered [T], answered wrongly [T]) at each threshold; `confidence >= t` answers.

    Two sorts of values instead of T comparisons with all of n.
    """
    everything, wrong = np.sort(confidence), np.sort(confidence[errors])
    return (
        len(everything) - np.searchsorted(everything, thresholds, side="left"),
        len(wrong) - np.searchsorted(wrong, thresholds, side="left"),
    )


def passes(answered: IntArray, errors: IntArray, target: RiskTarget, uniform: float | None) -> BoolArray:
    """Which steps the (randomised, where a uniform is given) exact test passes at level delta, [T]."""
    if uniform is None:
        return np.asarray(errors <= most_errors(answered, target.alpha, target.delta), dtype=np.bool_)
    return randomised_binomial_p_value(errors, answered, target.alpha, uniform) <= target.delta


def last_before_failure(passed: BoolArray) -> int:
    """Index of the last step before the first failure; -1 where the first step fails."""
    return len(passed) - 1 if passed.all() else int(np.argmin(passed)) - 1


def certify(
    confidence: ArrayLike,
    errors: ArrayLike,
    thresholds: ArrayLike | None,
    target: RiskTarget,
    groups: ArrayLike | None = None,
    *,
    method: Method = "rank start",
    unit: Unit = "group",
    seed: int = 0,
    max_group_size: int | None = None,
    split_digest: str | None = None,
    engine: str | None = None,
) -> Certificate:
    """Certify the loosest threshold whose answers are wrong at most `target.alpha`.

    confidence [n] and errors [n] (1: the stage's label is wrong) are of the calibration split;
    thresholds [T], strict to loose, from `plan_thresholds` on another split. None takes the
    calibration ranks themselves (scores only). `groups` [n] names the drive, track or burst of each
    image; see `independent_units` for `unit`, `seed` and `max_group_size`.

    Methods: "rank start" (default) begins where one error still certifies (calibration rank 473 at
    1 % and 95 %) and refines the grid by ranks: exact where the thresholds of too high a risk are the
    loose ones. "grid" tests the given grid alone: no assumption. "randomised" is "grid" with
    randomised p-values, one uniform for the certificate, drawn from `seed`: no assumption, more power.

    Never fails on a hard problem: the certificate is then infeasible and says what would be needed.
    ValueError for malformed input only. `coverage_lower_bound` holds with confidence 1 - delta of its
    own (DKW inequality); both statements together hold with confidence 1 - 2 delta.
    `risk_upper_bound` is what was proven: alpha where the walk ended by a failure, and the
    Clopper-Pearson bound of the last step where the walk passed them all (the same fixed sequence then
    goes on to smaller alpha).
    """
    scores, wrong = read_scores(confidence, errors)
    grid = None if thresholds is None else read_thresholds(thresholds)
    if method not in STEPS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(STEPS)}")
    units = independent_units(len(scores), groups, unit, seed, max_group_size)
    scores, wrong = scores[units.rows], wrong[units.rows]
    steps = STEPS[method](np.sort(scores), grid, target)
    uniform = None
    if method == "randomised":
        uniform = float(np.random.default_rng([seed, 1]).random())
    walk = Walk(steps, *count(scores, wrong, steps))
    last = last_before_failure(passes(walk.answered, walk.errors, target, uniform))
    if uniform is not None:
        units = replace(units, seed=seed)
    issuer = Issuer(f"exact fixed sequence, {method}", target, units, split_digest, engine)
    if last < 0:
        reachable = len(scores) if grid is None else int(answers(scores, float(grid[-1])).sum())
        return issuer.infeasible(
            describe_shortfall(scores, wrong, reachable, walk.answered, walk.errors, target, units.name)
        )
    threshold = float(walk.thresholds[last])
    # Counted again by the rule that decides online: the certificate is about that rule.
    chosen = answers(scores, threshold)
    answered, mistakes = int(chosen.sum()), int((chosen & wrong).sum())
    return issuer.feasible(
        threshold,
        answered,
        mistakes,
        risk_upper_bound=proven_risk(answered, mistakes, target, last == len(steps) - 1, uniform),
    )
