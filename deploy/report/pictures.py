"""Pictures of a promotion: its course with the guardrails, and the latencies of both bundles.

Colours are the Okabe-Ito set, which can be told apart with colour-blindness.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deploy.report.story import Result, Story

_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6B6B6B"
_OUTCOMES: Final = {"passed": _GREEN, "failed": _RED, "inconclusive": _ORANGE}
_UNITS: Final = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
_LEAST_UNITS: Final = 3.0
_STYLE: Any = {
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def pictures_of(story: Story) -> dict[str, bytes]:
    """Name -> PNG; those for which there is something to show."""
    found = {"course.png": _course(story)}
    latency = next((one for one in story.of("latency") if "milliseconds" in one.details), None)
    if latency is not None:
        found["latency.png"] = _latency(latency)
    return found


@contextmanager
def _drawn(size: tuple[float, float], into: BytesIO) -> Iterator[Figure]:
    """An empty figure of `size` inches, which is written at the end."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(into, format="png", metadata={"Software": None})


def _course(story: Story) -> bytes:
    """The newcomer's share over time, and below it each guardrail."""
    guards = _by_gate([one for one in story.of("guardrail ") if one.figure is not None])
    into = BytesIO()
    with _drawn((9.0, 2.6 + 1.7 * len(guards)), into) as figure:
        ratios = [1.5, *([1.0] * len(guards))]
        grid = figure.subplots(1 + len(guards), 1, sharex=True, squeeze=False, height_ratios=ratios)
        top: Axes = grid[0, 0]
        clock = _Clock.of(story)
        _shares(top, story, clock)
        for axes, (gate, results) in zip(grid[1:, 0], guards.items(), strict=True):
            _guard(axes, gate, results, clock)
        last: Axes = grid[-1, 0]
        began = datetime.fromtimestamp(story.course[0].at, UTC)
        last.set_xlabel(f"{clock.unit} since {began:%Y-%m-%d %H:%M:%S} UTC")
        top.set_xlim(-0.02 * clock.length, 1.12 * clock.length)
    return into.getvalue()


@dataclass(frozen=True, slots=True)
class _Clock:
    """Time since a promotion began, in the unit that suits its length."""

    began: float
    """Unix time, seconds"""
    unit: str
    seconds: float
    """Of the unit"""
    length: float
    """Of the promotion, in the unit"""

    @classmethod
    def of(cls, story: Story) -> _Clock:
        began = story.course[0].at
        length = max(1.0, story.course[-1].at - began)
        unit, seconds = next(one for one in _UNITS if length >= _LEAST_UNITS * one[1] or one[1] == 1.0)
        return cls(began, unit, seconds, length / seconds)

    def __call__(self, at: float) -> float:
        return (at - self.began) / self.seconds


def _shares(axes: Axes, story: Story, clock: _Clock) -> None:
    times = np.array([clock(one.at) for one in story.course])
    shares = 100.0 * np.array([one.share for one in story.course])
    axes.fill_between(times, shares, step="post", color=_BLUE, alpha=0.15, lw=0)
    axes.step(times, shares, where="post", color=_BLUE, lw=2.0)
    free = -1.0
    for place, one in enumerate(story.course):
        end = place == len(story.course) - 1
        colour = (
            _OUTCOMES["passed" if one.phase == "promoted" else "failed"] if end and story.ended else _GREY
        )
        axes.axvline(times[place], color=colour, lw=1.6 if end else 0.8, ls="-" if end else ":")
        position = times[place] / clock.length
        # Steps of seconds lie on one another; their names would too.
        if end or (position > free and position < 0.9):
            axes.annotate(
                one.name.replace("-", " "),
                (times[place], 104.0),
                xytext=(3, 0),
                textcoords="offset points",
                color=colour,
                fontsize=8.5,
                va="bottom",
                annotation_clip=False,
            )
            free = position + 0.011 * len(one.name) + 0.02
    axes.set(ylabel="newcomer answers (%)", ylim=(0, 103))
    axes.set_title(f"{story.state.newcomer.label} in fleet {story.fleet}", pad=22)


def _guard(axes: Axes, gate: str, results: Sequence[Result], clock: _Clock) -> None:
    """How much worse the newcomer is, with its interval, at the end of each step, in points of a share."""
    for one in results:
        at, figure = clock(one.at), _points(one.figure)
        low, high = (_points(one.details.get(end)) for end in ("low", "high"))
        colour = _OUTCOMES.get(one.outcome, _GREY)
        axes.plot([at, at], [low, high], color=colour, lw=2.6, solid_capstyle="round")
        axes.plot(at, figure, marker="o", ms=6, color=colour)
    limit = _points(results[-1].limit)
    axes.axhline(limit, color=_RED, lw=1.3, ls="--")
    axes.axhline(0.0, color=_GREY, lw=0.8)
    axes.annotate(
        f"limit {limit:g}",
        (1.0, limit),
        xycoords=("axes fraction", "data"),
        color=_RED,
        fontsize=8.5,
        va="bottom",
        ha="right",
    )
    axes.set_title(f"{gate}: harm in points, with its interval")
    # The first intervals may be as wide as the axis could be; what decides is shown whole.
    decisive = [one for one in results if one.outcome == "failed" or one is results[-1]]
    seen = [abs(value) for one in decisive for value in _values(one)]
    reach = min(100.0, 1.15 * max(1.5 * limit, *seen))
    axes.set_ylim(-reach, reach)


def _values(one: Result) -> list[float]:
    found = (_points(value) for value in (one.figure, one.details.get("low"), one.details.get("high")))
    return [value for value in found if np.isfinite(value)]


def _points(value: Any) -> float:
    return 100.0 * float(value) if isinstance(value, int | float) else float("nan")


def _by_gate(results: Sequence[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(one.gate, []).append(one)
    return found


def _latency(result: Result) -> bytes:
    """Shares of the images by their latency, with the 99th percentiles."""
    shown: Mapping[str, Any] = result.details["milliseconds"]
    edges = np.array(shown["edges"], dtype=np.float64)
    into = BytesIO()
    with _drawn((9.0, 3.4), into) as figure:
        axes = figure.subplots()
        for name, colour in (("champion", _GREY), ("newcomer", _BLUE)):
            if name not in shown:
                continue
            one = shown[name]
            counts = np.array(one["counts"], dtype=np.float64)
            shares = 100.0 * counts / max(1.0, counts.sum())
            axes.stairs(
                shares,
                edges,
                color=colour,
                lw=2.0,
                label=f"{name}: p50 {one['p50']:.3g}, p99 {one['p99']:.3g} ms",
            )
            axes.stairs(shares, edges, color=colour, fill=True, alpha=0.12)
            axes.axvline(one["p99"], color=colour, lw=1.4, ls="--")
        limit = _latency_limit(result, shown)
        if limit is not None:
            axes.axvline(limit, color=_RED, lw=1.6, label=f"limit of the newcomer's p99: {limit:.3g} ms")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if edges[-1] < 8 * edges[0] else "")
        axes.set(xlabel="latency of one image (ms); dashed: 99th percentile", ylabel="images (%)")
        axes.set_title(f"Latency: {result.outcome}")
        figure.legend(loc="outside lower center", ncols=3)
    return into.getvalue()


def _latency_limit(result: Result, shown: Mapping[str, Any]) -> float | None:
    """In ms; the smallest of those that the plan sets."""
    limits = []
    for one in result.details.get("measured", ()):
        if one["unit"] == "ms":
            limits.append(float(one["limit"]))
        elif "champion" in shown:
            limits.append(float(one["limit"]) * float(shown["champion"]["p99"]))
    return min(limits, default=None)
