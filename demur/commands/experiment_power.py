"""`demur experiment power`: days that an experiment takes, at the traffic of the log or at a named one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path

from calibration.experiments.power import Design, Noise
from demur.commands.experiment import data_folders, log_readers
from monitoring.experiments.power import MODES, Asked, Power, PowerUnknown, needed_per_mode, power_of_log
from monitoring.experiments.unit_log import read_units

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
    return power_of_log(design, read_units(log_readers(data_folders(logs[0]), logs[1])), per_day)


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
    needed = needed_per_mode(design, noise)
    source = f"units of one request, of which {100 * labelled:g} % count, at {design.metric.name} {rate:g}"
    return Power(design, source, per_day, needed, (needed[0] / per_day, needed[1] / per_day))


def _in_days(days: float) -> str:
    if not isfinite(days):
        return "never"
    if days < 1.0:
        return f"{24.0 * days:.1f} hours"
    return f"{days:,.1f} days"
