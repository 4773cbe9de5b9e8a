"""How many days an experiment takes at the traffic of the event log."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any

import numpy as np

from calibration.experiments.comparison import Mode
from calibration.experiments.metrics import Metric, metric_of
from calibration.experiments.power import Design, Noise, days_to_units, needed_units
from calibration.scores import FloatArray
from monitoring.errors import MonitoringError
from monitoring.experiments.unit_log import TooFewUnits, UnitLog

MODES: tuple[Mode, ...] = ("fixed", "anytime")
_DEALS = 8
"""Random deals over which the noise is averaged"""
_OF_NOISE = tuple(field.name for field in fields(Noise))


class PowerUnknown(MonitoringError, ValueError):
    """What was named says too little to compute a power from."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an experiment is to find."""

    metric: str
    difference: float | None
    share: float
    power: float

    def design(self) -> Design:
        """Raises PowerUnknown."""
        metric = metric_of(self.metric)
        try:
            difference = metric.margin if self.difference is None else self.difference
            return Design(metric, difference, self.share, self.power)
        except ValueError as error:
            raise PowerUnknown(str(error)) from None


@dataclass(frozen=True, slots=True)
class Power:
    """The answer."""

    design: Design
    source: str
    """What it was computed from, in words"""
    units_per_day: float
    units: tuple[float, float]
    """Units of both arms that are needed, per mode"""
    days: tuple[float, float]
    """inf: never"""


def power_of_log(design: Design, log: UnitLog, per_day: float | None = None) -> Power:
    """The power at the traffic of the log, or at `per_day` new units a day. Raises TooFewUnits."""
    noise = _noise(log, design.metric)
    first_at = log.first_at
    needed = needed_per_mode(design, noise)
    seen = _new_units_per_day(first_at) if per_day is None else per_day
    days = [days_to_units(first_at, one) if per_day is None else one / per_day for one in needed]
    source = f"{len(first_at):,} units and {int(log.table.requests.sum()):,} requests in {log.days:.1f} days"
    return Power(design, source, seen, needed, (days[0], days[1]))


def needed_per_mode(design: Design, noise: Noise) -> tuple[float, float]:
    """Units of both arms that are needed, per mode."""
    fixed, anytime = (needed_units(design, noise, mode) for mode in MODES)
    return fixed, anytime


def power_values(found: Power) -> dict[str, Any]:
    """The answer as plain JSON values."""
    design = found.design
    return {
        "metric": design.metric.name,
        "difference": design.difference,
        "share": design.share,
        "power": design.power,
        "level": design.level,
        "source": found.source,
        "units_per_day": found.units_per_day,
        **{
            mode: {"units": float(units), "days": float(days) if isfinite(days) else None}
            for mode, units, days in zip(MODES, found.units, found.days, strict=True)
        },
    }


def _noise(log: UnitLog, metric: Metric) -> Noise:
    """That of random deals of the units that there are. Raises TooFewUnits."""
    table = log.table
    units = int(table.unit.max(initial=-1)) + 1
    rng = np.random.default_rng(0)
    one_stratum = replace(table, stratum=np.zeros(len(table), dtype=np.int64), shares=np.array([[0.5, 0.5]]))
    dealt = (replace(one_stratum, arm=rng.integers(0, 2, units)[table.unit]) for _ in range(_DEALS))
    found = [noise for noise in (Noise.of_table(one, metric) for one in dealt) if noise is not None]
    if len(found) < _DEALS or units < 2 * _DEALS:
        raise TooFewUnits(
            f"the event log holds too little of {metric.name}: {units} units, and {metric.reads} of "
            f"{int(np.count_nonzero(metric.counts(table)[1]))} rows; name the traffic instead"
        )
    means = (float(np.mean([getattr(one, name) for one in found])) for name in _OF_NOISE)
    return Noise(*means)


def _new_units_per_day(first_at: FloatArray) -> float:
    """In the latter half of the time."""
    span = float(first_at[-1] - first_at[0])
    if span <= 0.0:
        return 0.0
    return float(np.count_nonzero(first_at > first_at[0] + span / 2.0)) / (span / 2.0) * 86_400.0
