"""Path of a cascade, planned on the selection split before any calibration label is read.

Compute is saved only as far as the promise allows: the slack is limited by the coverage target, and the
cheapest pair is taken if almost no error is planned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibration.certificate import RiskTarget
from calibration.exact.cascade import CascadePath, CascadeScores
from calibration.exact.steps import start_of
from calibration.exact.strata import Parts
from calibration.planning.candidates import Candidates
from calibration.planning.chance import chance_to_pass, spread_of_answers
from calibration.scores import FloatArray, IntArray

START_MARGIN = 2.0
"""Standard deviations by which the planned number of answers at the first pair exceeds the fewest that one
error needs, so that the calibration split hardly ever answers fewer there."""
LIKELIEST = 0.0001
"""The tests start at the first pair whose chance to pass is within this of the largest: one that fails before
it would end them short of every pair that can be certified. A difference below it says nothing: an easy data
set has such chances at every pair, and the fewest answers are then the safest start."""
SLACK_STEPS = 6
"""Number of slacks that are tried between the given one and 1"""
NEGLIGIBLE_RISK = 0.1
"""Planned risks up to this share of alpha count as equal: a curve fitted to the selection split cannot
distinguish so few errors, and its extrapolation would choose the more expensive stage at the start of a path.
In the reference worlds this changes nothing; if the strong stage is wrong on a few images with high
confidence, many more certificates are feasible (docs/measurements/promise.md)."""


class SplitUnits(NamedTuple):
    """Numbers of independent units behind the scores of the two splits: groups, if images come in groups."""

    selection: int
    calibration: int


def plan_cascade(
    scores: CascadeScores,
    cost_a: float,
    cost_b: float,
    n_calibration: int | SplitUnits,
    target: RiskTarget,
    slack: float = 1.2,
    parts: Parts | None = None,
) -> FloatArray:
    """Pairs (t_a, t_b) [T, 2] for `certify_cascade`, from the scores of both stages on val_select.

    The certificate tests every pair, so the plan alone decides where the tests start: at the pair that is
    likeliest to pass (`LIKELIEST`) among those that are planned to answer as many of `n_calibration` units as
    `target` needs with one error, by `START_MARGIN`. A choice by calibration counts would break the promise,
    because the answers of two pairs need not be nested. `parts` (of the selection images): each of them is
    planned to reach its own start. `n_calibration`: a number alone means that each score is a unit by itself.

    For each of `PATH_POINTS` coverages, of all pairs that answer so many selection images, the cheapest is
    taken among those with at most `slack` times the least number of planned errors (or a negligible number).
    Planned errors come from one fitted error curve per stage (`fit_error_curve`), not from the few observed
    errors.

    `slack` limits the errors given up for compute: if the coverage planned with it falls short of
    `target.min_coverage`, a smaller slack is taken, down to 1, which plans for coverage alone.
    """
    if len(scores) == 0:
        raise ValueError("the selection split is empty; a path is planned on its confidences")
    if not slack >= 1.0:
        raise ValueError(f"slack is {slack!r}; it must be at least 1")
    if not (cost_a >= 0.0 and cost_b >= 0.0):
        raise ValueError(f"costs are {cost_a!r} and {cost_b!r}; they must not be negative")
    units = n_calibration if isinstance(n_calibration, SplitUnits) else SplitUnits(len(scores), n_calibration)
    candidates = Candidates.of(scores, cost_a, cost_b, first_answered(*units, target))
    chosen = _affordable(candidates, slack, units.calibration, target)
    path = candidates.path(chosen, _likeliest_start(candidates, chosen, units, target))
    return path if parts is None else path[_from_start_of_parts(path, scores, units, target, parts) :]


def first_answered(n_selection: int, n_calibration: int, target: RiskTarget) -> float:
    """Least share of the images that the first pair answers, from the numbers of units in both splits."""
    if n_calibration <= 0:
        return 1.0
    start = start_of(n_calibration, target)
    planned = np.arange(min(start, n_calibration), n_calibration + 1, dtype=np.float64)
    # The last one is certain: it answers every image.
    enough = _least_planned(planned, SplitUnits(n_selection, n_calibration)) >= min(start, n_calibration)
    return float(planned[int(enough.argmax())]) / n_calibration


def _least_planned(planned: FloatArray, units: SplitUnits) -> FloatArray:
    """Planned numbers of answers less `START_MARGIN` standard deviations."""
    share = np.clip(planned / units.calibration, 0.0, 1.0)
    return np.asarray(planned - START_MARGIN * spread_of_answers(share, *units))


def _affordable(candidates: Candidates, slack: float, n_calibration: int, target: RiskTarget) -> IntArray:
    """Row [C] of the pair at each count of answers, by the largest slack that the coverage allows."""
    for tried in np.linspace(slack, 1.0, SLACK_STEPS):
        chosen = candidates.cheapest(float(tried), NEGLIGIBLE_RISK * target.alpha)
        if candidates.coverage(chosen, n_calibration, target) >= target.min_coverage:
            break
    return chosen


def _likeliest_start(candidates: Candidates, chosen: IntArray, units: SplitUnits, target: RiskTarget) -> int:
    """Number of the first count of answers at which a chosen pair is as likely to pass as at any."""
    coverage, risk = candidates.answered / candidates.n, candidates.risk(chosen).clip(0.0, 1.0)
    chance = chance_to_pass(coverage, risk, *units, target)
    return int((chance >= chance.max() - LIKELIEST).argmax())


def _from_start_of_parts(
    path: FloatArray, scores: CascadeScores, units: SplitUnits, target: RiskTarget, parts: Parts
) -> int:
    """The first step at which every part is planned to reach its start; the last step if there is none."""
    answered = CascadePath(scores, path).count(parts).answered.astype(np.float64)
    planned = answered * units.calibration / len(scores)
    starts = np.array([start_of(int(reachable), target) for reachable in planned[-1]])
    reached = (_least_planned(planned, units) >= starts).all(axis=1)
    return int(reached.argmax()) if reached.any() else len(path) - 1
