"""What a calibration split of a given size can prove at all, before a model is trained or a label is read.

Every method has a fewest number of units: with fewer, not even a classifier without an error is certified.
Above it the units limit how many answers may be wrong, and so how much of the images a classifier answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from calibration.bounds import clopper_pearson_upper, fewest_answered, most_errors
from calibration.certificate import RiskTarget
from calibration.exact.group_betting import DEFAULT_BET, groups_without_error
from calibration.exact.steps import StepCounts, last_before_failure, passes, steps_to_test
from calibration.prediction_sets import allowed_losses
from calibration.scrc.inductive import answers_margin, units_for_answers
from calibration.scrc.planning import LARGEST_SHARE

_DRAWS = 200
_MOST_UNITS = 2_000_000
"""Units simulated in all draws together"""
_LARGEST = 100_000
"""Units from which more change the coverage by less than a hundredth"""


@dataclass(frozen=True, slots=True)
class Reach:
    """The limits of one calibration split for one target by one method."""

    units: int
    """Independent calibration units: images, or groups"""
    fewest: int
    """Units that must be answered without an error, at least, for any certificate"""
    most_wrong: int
    """Errors with which the target is still certified if all units are answered; -1 if nothing can be"""
    smallest_alpha: float
    """Smallest risk that these units prove, if all of them are answered without an error; 1 without units"""

    @property
    def missing(self) -> int:
        """Units that are missing for any certificate; 0 if one is possible."""
        return max(0, self.fewest - self.units)


def exact_reach(units: int, target: RiskTarget) -> Reach:
    """Of the exact binomial test on independent units, with or without look-ahead."""
    return Reach(
        units=units,
        fewest=int(fewest_answered(0, target.alpha, target.delta)),
        most_wrong=int(most_errors(units, target.alpha, target.delta)),
        smallest_alpha=float(clopper_pearson_upper(0, units, target.delta)),
    )


def betting_reach(groups: int, target: RiskTarget) -> Reach:
    """Of betting on group means, each error being a group that is wrong as a whole.

    From the capital (1 + s alpha)^(G - k) (1 - bet)^k >= 1 / delta with the stake s = bet / (1 - alpha).
    """
    fewest = groups_without_error(target)
    if groups == 0:
        return Reach(0, fewest, -1, 1.0)
    gain = math.log1p(DEFAULT_BET / (1.0 - target.alpha) * target.alpha)
    loss = -math.log1p(-DEFAULT_BET)
    surplus = groups * gain + math.log(target.delta)
    odds = math.expm1(-math.log(target.delta) / groups) / DEFAULT_BET
    most_wrong = int(surplus / (gain + loss)) if groups >= fewest else -1
    return Reach(groups, fewest, most_wrong, odds / (1.0 + odds))


def scrc_inductive_reach(units: int, target: RiskTarget, confidence_grid: int, set_grid: int) -> Reach:
    """Of SCRC-I ("answers") with grids of so many points."""
    fewest = units_for_answers(target, confidence_grid, set_grid)
    margin = answers_margin(units, target.delta, confidence_grid, set_grid)
    allowed = math.floor(units * (target.alpha * (1.0 - margin) - margin)) if units >= fewest else -1
    return Reach(units, fewest, allowed, min(1.0, margin / (1.0 - margin)) if margin < 1.0 else 1.0)


def scrc_transductive_reach(units: int, target: RiskTarget) -> Reach:
    """Of SCRC-T ("answers") that accepts every unit and answers the largest share that is planned."""
    level = target.alpha * LARGEST_SHARE
    return Reach(
        units=units,
        fewest=math.ceil(1.0 / level) - 1,
        most_wrong=allowed_losses(level, units),
        smallest_alpha=min(1.0, 1.0 / ((units + 1) * LARGEST_SHARE)),
    )


@dataclass(frozen=True, slots=True)
class Typical:
    """What the exact test certifies of a typical classifier."""

    accuracy: float
    """If it answers every image"""
    chance: float
    """Share of calibration draws with a certificate"""
    coverage: float
    """Median share of the images answered, over the draws with a certificate; 0 without one"""


def typical_certificate(units: int, target: RiskTarget, accuracy: float, seed: int = 0) -> Typical:
    """The exact test on simulated splits of so many units of a classifier with this accuracy, above 1/2.

    The world of two equally frequent classes x | y ~ N(+-d/2, 1) with confidence |x|, d from the accuracy:
    the reference world of the tests in `tests/statistics`, no statement about a model that is not trained.
    """
    rng = np.random.default_rng(seed)
    units = min(units, _LARGEST)
    draws = max(20, min(_DRAWS, _MOST_UNITS // max(units, 1)))
    answered = np.arange(1, units + 1, dtype=np.int64)[:, None]
    tested = np.flatnonzero(steps_to_test(answered, target))
    found = []
    for _ in range(draws if len(tested) else 0):
        score = rng.normal(float(special.ndtri(accuracy)), 1.0, units)
        wrong = (score < 0.0)[np.argsort(-np.abs(score))]
        errors = np.cumsum(wrong, dtype=np.int64)[:, None]
        last = last_before_failure(passes(StepCounts(answered, errors).take(tested), target, None))
        if last >= 0:
            found.append(float(tested[last] + 1) / units)
    return Typical(accuracy, len(found) / draws, float(np.median(found)) if found else 0.0)
