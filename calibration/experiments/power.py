"""Power of an experiment: how many units, and days, until a difference of a given size is concluded."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, sqrt
from statistics import NormalDist

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import LEVEL, Mode
from calibration.experiments.intervals import mixture_radius, spread_of
from calibration.experiments.metrics import Metric
from calibration.experiments.stratified import estimate
from calibration.scores import FloatArray

_HALVINGS = 100
_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Design:
    """What an experiment is to find, and how."""

    metric: Metric
    difference: float
    """Its size, positive"""
    share: float = 0.5
    """Of the units, of the challenger; the control has the rest"""
    power: float = 0.9
    """Chance that it is concluded by then"""
    level: float = LEVEL

    def __post_init__(self) -> None:
        if not 0.0 < self.difference < inf:
            raise ValueError(f"difference is {self.difference!r}; it must be positive")
        for name in ("share", "power", "level"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} is {value!r}; it must lie strictly between 0 and 1")


@dataclass(frozen=True, slots=True)
class Noise:
    """How uncertain a difference is, by the units dealt."""

    unit_variance: float
    """Variance of the difference, times U_0 U_1 / (U_0 + U_1) for the units dealt to both arms. Units without
    a label count as well, and so does the correlation of a unit's requests."""
    request_variance: float
    """As in `Estimate`"""

    @classmethod
    def of_table(cls, table: ArmTable, metric: Metric) -> Noise | None:
        """The noise of a table of two arms; None if there is nothing to compare."""
        found = estimate(table, metric)
        if found is None:
            return None
        units = [len(np.unique(table.unit[table.arm == arm])) for arm in (0, 1)]
        return cls(found.variance * units[0] * units[1] / (units[0] + units[1]), found.request_variance)

    @classmethod
    def of_share(cls, rate: float, labelled: float = 1.0) -> Noise:
        """The noise of a share `rate`, of units of one request, a part `labelled` of which counts.

        Raises ValueError.
        """
        if not 0.0 < rate < 1.0:
            raise ValueError(f"rate is {rate!r}; it must lie strictly between 0 and 1")
        if not 0.0 < labelled <= 1.0:
            raise ValueError(f"labelled is {labelled!r}; it must lie in (0, 1]")
        return cls(rate * (1.0 - rate) / labelled, rate * (1.0 - rate))


def needed_variance(design: Design, noise: Noise, mode: Mode) -> float:
    """The largest variance of the estimated difference at which the design has its power.

    anytime: that the conclusion has been reached by then, of which a single look at the end is a lower bound.
    """
    reached = NormalDist().inv_cdf(design.power)
    if mode == "fixed":
        return float((design.difference / (NormalDist().inv_cdf(1.0 - design.level / 2.0) + reached)) ** 2)
    spread = spread_of(noise.request_variance)
    low, high = 0.0, design.difference**2
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        half = mixture_radius(middle, spread, design.level) + reached * sqrt(middle)
        low, high = (middle, high) if half <= design.difference else (low, middle)
    return high


def needed_units(design: Design, noise: Noise, mode: Mode) -> float:
    """Units of both arms together."""
    deals = design.share * (1.0 - design.share)
    return noise.unit_variance / (deals * needed_variance(design, noise, mode))


def power_days(design: Design, noise: Noise, units_per_day: float, mode: Mode = "anytime") -> float:
    """Days until a difference of the size of the design is concluded with its power; inf without traffic.

    `units_per_day`: new units a day; one that comes again brings little that is new. Raises ValueError.
    """
    if not 0.0 <= units_per_day < inf:
        raise ValueError(f"units_per_day is {units_per_day!r}; it must be at least 0")
    needed = ceil(needed_units(design, noise, mode))
    return needed / units_per_day if units_per_day > 0.0 else inf


def days_to_units(first_at: FloatArray, needed: float) -> float:
    """Days until as many units have been seen, if traffic goes on as it was.

    `first_at` [U]: Unix time at which each unit was seen first. Within the time seen, as it was; beyond it,
    at the rate of new units of its latter half; inf if there were none.
    """
    seen = np.sort(first_at)
    if not len(seen):
        return inf
    index = max(0, ceil(needed) - 1)
    if index < len(seen):
        return float(seen[index] - seen[0]) / _SECONDS_A_DAY
    span = float(seen[-1] - seen[0])
    late = np.count_nonzero(seen > seen[0] + span / 2.0)
    if span <= 0.0 or not late:
        return inf
    return (span + (needed - len(seen)) * (span / 2.0) / late) / _SECONDS_A_DAY
