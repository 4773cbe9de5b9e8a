"""Pictures of drift: one per signal, its distribution beside the reference and its course over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from calibration.drift.comparison import SignalShift
from calibration.scores import FloatArray, IntArray
from monitoring.drift.wording import category_name, signal_name
from trainer.reports.pictures import BLUE, GREY, ORANGE, RED, figure_on

_SIZE = (9.6, 3.8)


@dataclass(frozen=True, slots=True)
class Course:
    """One signal over the closed windows, the oldest first."""

    times: Sequence[float]
    """[k], Unix times"""
    values: Sequence[FloatArray | IntArray]
    """Values of each window, each [n >= 1]"""
    alarms: Sequence[bool]
    """[k], whether this signal had moved"""


def draw_signal(path: Path, shift: SignalShift, reference: FloatArray | IntArray, course: Course) -> None:
    """The last window of a signal beside its reference, and its course over all windows.

    A number is drawn by its distribution function and its median with the middle 80 %, a category by the
    shares of its values and the share of the one that changed most.
    """
    with figure_on(path, _SIZE) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
        figure.suptitle(_title(shift), fontsize=12, fontweight="bold", x=0.01, ha="left")
        if shift.kind == "number":
            _distributions(left, signal_name(shift), _finite(reference), _finite(course.values[-1]))
            _quantiles(right, course, _finite(reference))
        else:
            _shares(left, shift.name, np.asarray(reference), np.asarray(course.values[-1]))
            _share_over_time(right, course, shift)
        _time_axis(right, course.times)


def draw_embedding(
    path: Path, reference: FloatArray, current: FloatArray, times: Sequence[float], p_values: Sequence[float]
) -> None:
    """Embeddings [m, d] and [n, d] along the two directions in which both together vary most, and the p value
    of the joint test of each window [k], which holds all numbers as well."""
    with figure_on(path, _SIZE) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
        title = f"embedding and all numbers together (p {p_values[-1]:.2g})"
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        pooled = np.concatenate([reference, current])
        centred = pooled - pooled.mean(axis=0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        flat = centred @ directions[:2].T
        if flat.shape[1] == 1:
            flat = np.column_stack([flat, np.zeros(len(flat))])
        m = len(reference)
        for points, colour, label in ((flat[:m], GREY, "reference"), (flat[m:], BLUE, "last window")):
            left.scatter(points[:, 0], points[:, 1], s=9, color=colour, alpha=0.6, lw=0, label=label)
        left.set(xlabel="first direction", ylabel="second direction")
        left.legend(loc="best")
        right.semilogy(_dates(times), p_values, color=BLUE, lw=1.8, marker="o", ms=3.5)
        right.set(ylabel="p of the joint test", ylim=(min(1e-5, *p_values) / 2, 2.0))
        _time_axis(right, times)


def _title(shift: SignalShift) -> str:
    verdict = "moved" if shift.moved else "not moved"
    name = shift.name if shift.kind == "category" else signal_name(shift)
    return f"{name}: {verdict} (p {shift.p_value:.2g}, PSI {shift.psi:.2f})"


def _distributions(axes: Axes, name: str, before: FloatArray, now: FloatArray) -> None:
    for values, colour, label in ((before, GREY, "reference"), (now, BLUE, "last window")):
        if len(values):
            levels = np.arange(1, len(values) + 1) / len(values)
            axes.step(np.sort(values), levels, where="post", color=colour, lw=2.0, label=label)
    axes.set(xlabel=name, ylabel="share of images up to it", ylim=(0, 1.02))
    axes.legend(loc="lower right")


def _quantiles(axes: Axes, course: Course, before: FloatArray) -> None:
    times = _dates(course.times)
    low, middle, high = ([_quantile(one, level) for one in course.values] for level in (0.1, 0.5, 0.9))
    axes.fill_between(times, low, high, color=BLUE, alpha=0.15, lw=0)
    axes.plot(times, middle, color=BLUE, lw=1.8, marker="o", ms=3.5, label="median, middle 80 %")
    if len(before):
        axes.axhline(float(np.median(before)), color=GREY, lw=1.4, ls="--", label="median of the reference")
    _mark_alarms(axes, course, middle)
    axes.legend(loc="best")


def _shares(axes: Axes, signal: str, before: IntArray, now: IntArray) -> None:
    found = np.unique(np.concatenate([before, now]))
    places = np.arange(len(found))
    drawn = ((before, GREY, "reference", -0.2), (now, ORANGE, "last window", 0.2))
    for values, colour, label, aside in drawn:
        shares = [100 * (values == one).mean() for one in found]
        axes.bar(places + aside, shares, 0.38, color=colour, label=label)
    axes.set_xticks(places, [category_name(signal, one) for one in found.tolist()])
    axes.set(ylabel="% of images")
    axes.legend(loc="best")


def _share_over_time(axes: Axes, course: Course, shift: SignalShift) -> None:
    name = category_name(shift.name, shift.category or 0)
    shares = [100 * float((np.asarray(values) == shift.category).mean()) for values in course.values]
    axes.plot(_dates(course.times), shares, color=ORANGE, lw=1.8, marker="o", ms=3.5, label=f"% {name}")
    axes.axhline(100 * shift.reference, color=GREY, lw=1.4, ls="--", label="reference")
    _mark_alarms(axes, course, shares)
    axes.legend(loc="best")


def _mark_alarms(axes: Axes, course: Course, heights: Sequence[float]) -> None:
    marked = [place for place, alarm in enumerate(course.alarms) if alarm]
    if marked:
        times = _dates(course.times)
        axes.plot(
            [times[place] for place in marked],
            [heights[place] for place in marked],
            ls="",
            marker="o",
            ms=7.0,
            mfc="none",
            mec=RED,
            mew=1.8,
            label="moved",
        )


def _time_axis(axes: Axes, times: Sequence[float]) -> None:
    first, last = (datetime.fromtimestamp(at, UTC) for at in (times[0], times[-1]))
    axes.xaxis_date()
    axes.tick_params(axis="x", labelrotation=30)
    axes.set(xlabel=f"windows, {first:%Y-%m-%d} to {last:%Y-%m-%d} (UTC)")


def _dates(times: Sequence[float]) -> FloatArray:
    """Unix times as days since 1970, as the time axis of matplotlib counts them."""
    return np.asarray(times, dtype=np.float64) / 86_400.0


def _quantile(values: FloatArray | IntArray, level: float) -> float:
    numbers = _finite(values)
    return float(np.quantile(numbers, level)) if len(numbers) else float("nan")


def _finite(values: FloatArray | IntArray) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64)
    return np.asarray(numbers[np.isfinite(numbers)], dtype=np.float64)
