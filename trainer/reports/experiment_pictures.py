"""Pictures of an experiment: differences with their intervals, their course, and the units of the arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from calibration.scores import FloatArray
from trainer.reports.pictures import BLUE, GREEN, GREY, ORANGE, RED, figure_on

_COLOURS = {"better": GREEN, "worse": RED, "none": BLUE, "inconclusive": GREY}
_ARM_COLOURS = (GREY, BLUE, ORANGE, GREEN, RED)
_TICKS = [1, 2, 4, 10, 20, 40, 100, 200, 400]
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Bar:
    """The interval of one difference."""

    name: str
    difference: float
    low: float
    high: float
    margin: float
    conclusion: str


@dataclass(frozen=True, slots=True)
class DifferenceCourse:
    """One difference over time, with its confidence sequence."""

    name: str
    margin: float
    times: Sequence[float]
    """[k], Unix times"""
    difference: FloatArray
    """[k], NaN where there was none yet"""
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, slots=True)
class ArmUnits:
    """Units of the arms over time."""

    arms: Sequence[str]
    times: Sequence[float]
    """[k]"""
    units: FloatArray
    """[k, A]"""


def draw_differences(path: Path, bars: Sequence[Bar]) -> None:
    """All differences beside each other, each in units of the smallest one that matters."""
    with figure_on(path, (8.4, 1.2 + 0.55 * len(bars))) as figure:
        axes = figure.subplots()
        axes.axvspan(-1.0, 1.0, color=BLUE, alpha=0.08, lw=0)
        axes.axvline(0.0, color=GREY, lw=1.2)
        for place, bar in enumerate(reversed(bars)):
            colour = _COLOURS[bar.conclusion]
            scaled = [value / bar.margin for value in (bar.low, bar.difference, bar.high)]
            axes.plot([scaled[0], scaled[2]], [place, place], color=colour, lw=2.6, solid_capstyle="round")
            axes.plot(scaled[1], place, marker="o", ms=7, color=colour)
        axes.set_yticks(range(len(bars)), [f"{bar.name}: {bar.conclusion}" for bar in reversed(bars)])
        axes.set(
            xlabel="challenger minus control, in smallest differences that matter (shaded: none)",
            title="Differences and their intervals",
            ylim=(-0.6, len(bars) - 0.4),
        )
        reach = max((max(-bar.low, bar.high) / bar.margin for bar in bars), default=0.0)
        # One wide interval must not make the others unreadable.
        axes.set_xscale("symlog", linthresh=4.0, linscale=2.0)
        ticks = [tick for tick in _TICKS if tick <= 1.3 * max(4.0, reach)]
        axes.set_xticks([-tick for tick in reversed(ticks)] + [0] + ticks)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlim(-1.3 * max(4.0, reach), 1.3 * max(4.0, reach))


def draw_courses(path: Path, courses: Sequence[DifferenceCourse], changes: Sequence[float]) -> None:
    """Each difference over time. Dashed lines: `changes` of the shares, Unix times."""
    columns = 2 if len(courses) > 1 else 1
    rows = max(1, -(-len(courses) // columns))
    with figure_on(path, (9.6, 0.5 + 2.6 * rows)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, course in zip(grid.flat, courses, strict=False):
            _course(axes, course, changes)
        for axes in grid.flat[len(courses) :]:
            axes.set_visible(False)
        figure.suptitle("Course, readable at every step", fontsize=12, fontweight="bold", x=0.01, ha="left")


def draw_units(path: Path, found: ArmUnits, changes: Sequence[float]) -> None:
    """Units of each arm over time."""
    with figure_on(path, (8.4, 3.4)) as figure:
        axes = figure.subplots()
        for arm, name in enumerate(found.arms):
            colour = _ARM_COLOURS[arm % len(_ARM_COLOURS)]
            axes.plot(_dates(found.times), found.units[:, arm], color=colour, lw=1.9, label=name)
        _mark_changes(axes, changes)
        axes.set(ylabel="units so far", title="Units of each arm", ylim=(0, None))
        axes.legend(loc="best")
        _time_axis(axes, found.times)


def _course(axes: Axes, course: DifferenceCourse, changes: Sequence[float]) -> None:
    times = _dates(course.times)
    axes.axhspan(-course.margin, course.margin, color=BLUE, alpha=0.08, lw=0)
    axes.axhline(0.0, color=GREY, lw=1.0)
    axes.fill_between(times, course.low, course.high, color=BLUE, alpha=0.2, lw=0)
    axes.plot(times, course.difference, color=BLUE, lw=1.8)
    _mark_changes(axes, changes)
    # The first intervals are as wide as the axis could be.
    late = slice(len(times) // 2, None)
    ends = np.abs(np.concatenate([course.high[late], course.low[late]]))
    reach = 1.2 * np.nanmax(ends) if np.isfinite(ends).any() else 4.0 * course.margin
    axes.set(title=course.name, ylim=(-float(reach), float(reach)))
    _time_axis(axes, course.times)


def _mark_changes(axes: Axes, changes: Sequence[float]) -> None:
    for at in _dates(changes):
        axes.axvline(at, color=GREY, lw=0.9, ls="--")


def _time_axis(axes: Axes, times: Sequence[float]) -> None:
    first, last = (datetime.fromtimestamp(at, UTC) for at in (times[0], times[-1]))
    axes.xaxis_date()
    axes.tick_params(axis="x", labelrotation=30, labelsize=8)
    axes.set_xlabel(f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} (UTC)", fontsize=9)


def _dates(times: Sequence[float]) -> FloatArray:
    """Unix times as days since 1970, as the time axis of matplotlib counts them."""
    return np.asarray(times, dtype=np.float64) / _DAY
