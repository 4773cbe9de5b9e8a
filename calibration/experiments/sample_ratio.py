"""Sample ratio of an experiment: does each arm have the share of the units that was designed?

Each unit counts once, where it was first seen: later it stays where it was dealt, and tells nothing new. An
arm that loses or gains units has its odds tilted by e^t in every stratum, so that a fault that lasts over
several strata is found by all of them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log
from typing import Final

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.scores import FloatArray, IntArray

LEVEL: Final = 0.001
"""Share of experiments with the designed shares that ever have a mismatch"""
_TILTS: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
"""t, up and down: a tenth more or fewer of the units is a tilt of about .1"""
_WEIGHTS: Final = (0.1, 0.15, 0.25, 0.3, 0.2)
_LARGEST_EXPONENT: Final = 700.0


@dataclass(frozen=True, slots=True)
class StratumRatio:
    """Units that were first seen in one stratum."""

    stratum: int
    units: tuple[int, ...]
    """Per arm"""
    designed: tuple[float, ...]
    e_value: float
    """Of this stratum by itself"""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Evidence against the designed shares, over all strata."""

    arms: tuple[str, ...]
    e_value: float
    """Of all units so far"""
    highest: float
    """Highest e-value after any unit so far; it reaches 1 / LEVEL with a probability of at most LEVEL"""
    strata: tuple[StratumRatio, ...]

    @property
    def mismatch(self) -> bool:
        return self.highest >= 1.0 / LEVEL

    @property
    def units(self) -> tuple[int, ...]:
        """Units per arm."""
        return tuple(map(sum, zip(*(one.units for one in self.strata), strict=True)))


def sample_ratio(table: ArmTable) -> SampleRatio:
    """The evidence of a table's units, in the order in which they were first seen."""
    arm, stratum = _first_rows(table)
    course = sample_ratio_course(arm, stratum, table.shares)
    counts = np.zeros(table.shares.shape, dtype=np.int64)
    np.add.at(counts, (stratum, arm), 1)
    strata = tuple(
        StratumRatio(
            index,
            tuple(map(int, counts[index])),
            tuple(map(float, table.shares[index])),
            _value(_log_ratios(counts[index : index + 1], table.shares[index : index + 1])),
        )
        for index in range(table.strata)
    )
    last = _value(_log_ratios(counts, table.shares))
    return SampleRatio(table.arms, last, float(course.max(initial=last)), strata)


def sample_ratio_course(arm: IntArray, stratum: IntArray, shares: FloatArray) -> FloatArray:
    """E-value after each unit [n], in the order in which they were first seen.

    `arm`, `stratum`: [n]. `shares`: [S, A], designed. A mean of likelihood ratios, each of units whose odds
    of one arm are tilted by a fixed t, and so an exact test martingale (as that of Lindon and Malek,
    "Anytime-valid inference for multinomial count data", 2022, with alternatives common to all strata). A
    unit in an arm without a share makes it infinite.
    """
    designed = shares[stratum]
    log_mean = np.full(len(arm), -np.inf)
    for tilted, tilt, weight in _alternatives(shares.shape[1]):
        ratios = tilt * (arm == tilted) - np.log1p(designed[:, tilted] * np.expm1(tilt))
        log_mean = np.logaddexp(log_mean, log(weight) + np.cumsum(ratios))
    impossible = np.maximum.accumulate(designed[np.arange(len(arm)), arm] <= 0.0)
    return np.where(impossible, np.inf, np.exp(np.minimum(log_mean, _LARGEST_EXPONENT)))


def _log_ratios(counts: IntArray, shares: FloatArray) -> list[tuple[float, float]]:
    """(weight, log of the likelihood ratio) of each alternative, from the units [S, A]."""
    if (counts[shares <= 0.0] > 0).any():
        return [(1.0, inf)]
    total = counts.sum(axis=1)
    return [
        (
            weight,
            float((tilt * counts[:, arm] - total * np.log1p(shares[:, arm] * np.expm1(tilt))).sum()),
        )
        for arm, tilt, weight in _alternatives(shares.shape[1])
    ]


def _alternatives(arms: int) -> list[tuple[int, float, float]]:
    """(arm whose odds are tilted, t, weight); the weights are 1 in sum. Of two arms one is enough."""
    tilted = range(1, 2) if arms == 2 else range(arms)
    return [
        (arm, sign * tilt, 0.5 * weight / len(tilted))
        for arm in tilted
        for tilt, weight in zip(_TILTS, _WEIGHTS, strict=True)
        for sign in (-1.0, 1.0)
    ]


def _value(ratios: list[tuple[float, float]]) -> float:
    largest = max(ratio for _, ratio in ratios)
    if largest == inf:
        return inf
    mean = sum(weight * exp(ratio - largest) for weight, ratio in ratios)
    return exp(min(largest + log(mean), _LARGEST_EXPONENT))


def _first_rows(table: ArmTable) -> tuple[IntArray, IntArray]:
    """(arm, stratum) of each unit's first row, [U], in the order of time."""
    order = np.lexsort((table.stratum, table.first_at))
    _, first = np.unique(table.unit[order], return_index=True)
    rows = order[np.sort(first)]
    return table.arm[rows], table.stratum[rows]
