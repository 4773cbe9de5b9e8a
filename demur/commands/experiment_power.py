"""`demur experiment power`: how many days an experiment takes at the present traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from calibration.experiments.comparison import Mode
from calibration.experiments.metrics import Metric, metric_of
from calibration.experiments.power import (
    Design,
    Noise,
    days_to_units,
    needed_units,
)
from calibration.scores import FloatArray
from demur.commands.experiment import TooFewUnits, UnitLog, data_folders, log_readers, read_units
from demur.errors import InterfaceError

MODES: tuple[Mode, ...] = ("fixed", "anytime")
_DEALS = 8
"""Random deals over which the noise is averaged"""
_OF_NOISE = tuple(field.name for field in fields(Noise))


class PowerUnknown(InterfaceError, ValueError):
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


Traffic = tuple[float | None, float | None, float]
"""(new units a day, the metric of the control, share of the units that count); None: from the log"""


def read_power(asked: Asked, traffic: Traffic, logs: tuple[Sequence[Path], str | None]) -> Power:
    """The power at the traffic that was named, or at that of the logs (data folders, model).

    Raises PowerUnknown, TooFewUnits and NoEvents.
    """
    design, (per_day, rate, labelled) = asked.design(), traffic
    if per_day is not None and not 0.0 < per_day < float("inf"):
        raise PowerUnknown(f"--per-day is {per_day!r}; it must be above 0")
    if rate is not None:
        return _named(design, per_day, rate, labelled)
    log = read_units(log_readers(data_folders(logs[0]), logs[1]))
    noise = _noise(log, design.metric)
    needed = [needed_units(design, noise, mode) for mode in MODES]
    first_at = log.first_at
    rate_seen = _new_units_per_day(first_at) if per_day is None else per_day
    days = [days_to_units(first_at, one) if per_day is None else one / per_day for one in needed]
    source = f"{len(first_at):,} units and {int(log.table.requests.sum()):,} requests in {log.days:.1f} days"
    return Power(design, source, rate_seen, (needed[0], needed[1]), (days[0], days[1]))


def power_lines(found: Power) -> Iterator[str]:
    """The answer in words."""
    design = found.design
    yield (
        f"To find a difference of {design.difference:g} in {design.metric.name} with a chance of "
        f"{100 * design.power:g} %, the challenger having {100 * design.share:g} % of the units:"
    )
    for mode, units, days in zip(MODES, found.units, found.days, strict=True):
        how = "read once, at the end" if mode == "fixed" else "read at every step"
        yield f"  {how:<24} {_in_days(days):>12}   {units:>12,.0f} units"
    yield f"From {found.source}; new units a day: {found.units_per_day:,.0f}."
    if not all(map(isfinite, found.days)):
        yield (
            "There are too few new units: the cameras or users that there are have nearly all been seen. A "
            "larger difference, a share nearer to 50 %, or more units are needed."
        )


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
            mode: {"units": units, "days": days if isfinite(days) else None}
            for mode, units, days in zip(MODES, found.units, found.days, strict=True)
        },
    }


def _named(design: Design, per_day: float | None, rate: float, labelled: float) -> Power:
    if per_day is None:
        raise PowerUnknown("--rate needs --per-day; without both the traffic is read from the event log")
    if not design.metric.is_share:
        raise PowerUnknown(
            f"{design.metric.name} is no share, so --rate cannot say how it varies; leave --rate out and let "
            "the event log say it"
        )
    try:
        noise = Noise.of_share(rate, labelled)
    except ValueError as error:
        raise PowerUnknown(f"--{error}") from None
    needed = [needed_units(design, noise, mode) for mode in MODES]
    days = [one / per_day for one in needed]
    source = f"units of one request, of which {100 * labelled:g} % count, at {design.metric.name} {rate:g}"
    return Power(design, source, per_day, (needed[0], needed[1]), (days[0], days[1]))


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
            f"{int(np.count_nonzero(metric.counts(table)[1]))} rows. Name --per-day and --rate instead"
        )
    means = (float(np.mean([getattr(one, name) for one in found])) for name in _OF_NOISE)
    return Noise(*means)


def _new_units_per_day(first_at: FloatArray) -> float:
    """In the latter half of the time."""
    span = float(first_at[-1] - first_at[0])
    if span <= 0.0:
        return 0.0
    return float(np.count_nonzero(first_at > first_at[0] + span / 2.0)) / (span / 2.0) * 86_400.0


def _in_days(days: float) -> str:
    if not isfinite(days):
        return "never"
    if days < 1.0:
        return f"{24.0 * days:.1f} hours"
    return f"{days:,.1f} days"
