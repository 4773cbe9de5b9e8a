"""Plots: efficiency and latency of each server with the targets; memory under a long load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from harness.figures import FIGURES, Measured, Subject, Target
from harness.memory import Growth
from trainer.reports.pictures import BLUE, GREEN, GREY, ORANGE, RED, figure_on

_PANELS = ("efficiency", "tail", "health_p99")
_LOGARITHMIC = ("health_p99",)
_COLOURS = (BLUE, ORANGE, GREEN)


def draw_servers(path: Path, measured: Measured, part: str, targets: Sequence[Target]) -> None:
    """A row per model, a column per figure, a bar per server and number of clients; dashed: the target."""
    subjects = measured.subjects(part)
    models = list(dict.fromkeys(subject.model for subject in subjects))
    colours = dict(zip(sorted({subject.clients for subject in subjects}), _COLOURS, strict=False))
    with figure_on(path, (12.0, 0.6 + 2.7 * len(models))) as figure:
        panels = figure.subplots(len(models), len(_PANELS), squeeze=False)
        for row, model in zip(panels, models, strict=True):
            own = [subject for subject in subjects if subject.model == model]
            for axes, name in zip(row, _PANELS, strict=True):
                _draw_panel(axes, measured, own, name, colours)
                for limit in {t.limit for t in targets if t.figure == name and t.subject in own}:
                    axes.axhline(limit, color=RED, linewidth=1.2, linestyle="--")
                title, unit = FIGURES[name]
                axes.set_title(f"{model}: {title}" + (f" ({unit})" if unit else ""), fontsize=10)
        bars = [Patch(color=colour, label=f"{clients} clients") for clients, colour in colours.items()]
        figure.legend(handles=bars, loc="outside lower center", ncols=len(bars))


def _draw_panel(
    axes: Axes, measured: Measured, subjects: Sequence[Subject], name: str, colours: Mapping[int, str]
) -> None:
    shown = [(subject, found) for subject in subjects if (found := measured.get(subject, name)) is not None]
    servers = list(dict.fromkeys(subject.server for subject, _ in shown))
    numbers = sorted({subject.clients for subject, _ in shown})
    width = 0.8 / max(1, len(numbers))
    for subject, found in shown:
        shift = numbers.index(subject.clients) - (len(numbers) - 1) / 2
        place = servers.index(subject.server) + shift * width
        axes.bar(place, found.median, width * 0.9, color=colours[subject.clients])
        axes.plot([place, place], [found.low, found.high], color="black", linewidth=1.0)
    if name in _LOGARITHMIC:
        axes.set_yscale("log")
    axes.set_xticks(range(len(servers)), servers, fontsize=8.5)
    axes.grid(axis="x", visible=False)


def draw_memory(
    path: Path,
    series: Mapping[str, np.ndarray],
    growths: Mapping[str, Growth],
    latencies: Sequence[tuple[float, float]],
    settled: float,
) -> None:
    """Draw the memory of each process over time, and below it the p99 of each twentieth of the load.

    series: process -> float64 [n, 2] of seconds and megabytes. `settled`: seconds of warm-up.
    """
    with figure_on(path, (9.0, 6.0)) as figure:
        memory, speed = figure.subplots(2, 1, height_ratios=(3, 1.3))
        for (name, points), colour in zip(series.items(), (BLUE, GREEN, ORANGE, GREY, RED), strict=False):
            slope = growths[name]
            label = f"{name}: {slope.megabytes_an_hour:+.1f} MB/h ({slope.low:+.1f} to {slope.high:+.1f})"
            memory.plot(points[:, 0] / 60, points[:, 1], color=colour, linewidth=1.4, label=label)
        memory.axvspan(0, settled / 60, color=GREY, alpha=0.12, linewidth=0)
        memory.set_ylabel("resident MB")
        memory.set_ylim(bottom=0)
        memory.set_title("Memory under full load (grey: warm-up)")
        memory.legend(fontsize=8.5)
        times, milliseconds = np.array(latencies).T
        parts = np.array_split(np.argsort(times), 20)
        minutes = [(times[part].mean() - times.min()) / 60 for part in parts]
        speed.plot(minutes, [np.percentile(milliseconds[part], 99) for part in parts], "o-", color=BLUE, ms=4)
        speed.margins(y=0.2)
        speed.set_ylim(bottom=0)
        speed.set_ylabel("p99 of /predict, ms")
        speed.set_xlabel("minutes")
