"""A dashboard of Grafana as a picture: its panels in its grid, drawn from the answers of a Prometheus."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from PIL import Image

COLUMNS = 24
COLUMN_INCHES, ROW_INCHES, DPI = 0.5, 0.27, 90
INKS = 160
"""Colours of the file"""
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#6B6B6B", "#332288", "#882255", "#999933"),
)
COLOURS = {"green": "#009E73", "orange": "#E69F00", "red": "#D55E00"}
GREY, PALE = "#6B6B6B", "#E4E4E4"
STYLE = {
    "font.size": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


@dataclass(frozen=True)
class Line:
    """One series: its legend, its labels, and a value per moment (NaN where it has none)."""

    legend: str
    labels: Mapping[str, str]
    values: np.ndarray

    @property
    def stem(self) -> str:
        """The legend without the end of the interval that the line is."""
        return re.sub(r",? (low|high|value)$", "", self.legend)

    @property
    def is_end(self) -> bool:
        return self.legend.endswith(("low", "high"))


Ask = Callable[[str], list[dict[str, Any]]]
"""Answer of a range query: one entry per series, with `metric` and `values`"""


def draw(dashboard: Mapping[str, Any], ask: Ask, moments: np.ndarray, out: Path) -> None:
    """Write the picture. `moments`: Unix times of the range that `ask` asks for, at even steps."""
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 2
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMNS * COLUMN_INCHES, rows * ROW_INCHES), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        figure.text(0.012, 1 - 1.2 / rows, dashboard["title"], fontsize=13, fontweight="bold", va="center")
        about = {"color": GREY, "fontsize": 9, "va": "center", "ha": "right"}
        figure.text(0.988, 1 - 1.2 / rows, dashboard["description"], **about)
        for panel in panels:
            place = panel["gridPos"]
            left, bottom = place["x"] / COLUMNS, 1 - (place["y"] + place["h"] + 2) / rows
            if panel["type"] == "row":
                figure.text(0.012, bottom + 0.3 / rows, panel["title"], fontsize=10, color=GREY)
                continue
            box = (left, bottom, place["w"] / COLUMNS, place["h"] / rows)
            lines = [line for target in panel["targets"] for line in lines_of(target, ask, moments)]
            _Panel(figure, panel, box, rows).draw(lines, moments - moments[0])
        _save(figure, out)


def _save(figure: Figure, out: Path) -> None:
    """With few colours, since a picture of lines needs no more and is a third of the size."""
    held = io.BytesIO()
    figure.savefig(held)
    Image.open(held).convert("RGB").quantize(INKS, dither=Image.Dither.NONE).save(out, optimize=True)


def lines_of(target: Mapping[str, Any], ask: Ask, moments: np.ndarray) -> list[Line]:
    found = []
    for series in ask(target["expr"]):
        values = np.full(len(moments), math.nan)
        for at, value in series["values"]:
            values[int(np.argmin(np.abs(moments - at)))] = float(value)
        legend = legend_of(target.get("legendFormat", ""), series["metric"])
        found.append(Line(shortened(legend), series["metric"], values))
    return sorted(found, key=lambda line: line.legend)


def legend_of(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), template)


def shortened(legend: str) -> str:
    """With four digits of a bundle's version, and one space in the place of an empty part."""
    return (
        re.sub(r"  +", " ", re.sub(r"(:[0-9a-f]{4})[0-9a-f]{12}", r"\1", legend)).replace(" ,", ",").strip()
    )


def worded(value: float, unit: str) -> str:
    """A value with its unit, as Grafana writes it."""
    if not math.isfinite(value):
        return "no data"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1e3 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "bytes":
        return f"{value / 2**30:.3g} GiB"
    text = f"{value / 1e3:.3g} K" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"
    return f"{text}/s" if unit == "ops" else text


class _Panel:
    """One panel in its box (left, bottom, width, height) of the figure, each from 0 to 1."""

    def __init__(
        self, figure: Figure, panel: Mapping[str, Any], box: tuple[float, float, float, float], rows: int
    ) -> None:
        self._figure, self._kind, self._title = figure, panel["type"], panel["title"]
        self._defaults = panel.get("fieldConfig", {}).get("defaults", {})
        self._custom = self._defaults.get("custom", {})
        self._unit = self._defaults.get("unit", "short")
        self._box, self._row = box, 1 / rows
        left, bottom, width, height = box
        pad = 0.003
        frame = mpl.patches.Rectangle(
            (left + pad, bottom + pad / 3),
            width - 2 * pad,
            height - self._row * 0.2,
            fill=False,
            edgecolor=PALE,
            linewidth=0.8,
            transform=figure.transFigure,
        )
        figure.add_artist(frame)
        top = bottom + height - 0.8 * self._row
        figure.text(left + 3 * pad, top, self._title, fontsize=8.5, fontweight="bold", va="center")

    def draw(self, lines: Sequence[Line], seconds: np.ndarray) -> None:
        kinds = {"timeseries": self._lines, "stat": self._number, "state-timeline": self._states}
        if self._kind == "table":
            self._table(lines)
        elif not lines:
            left, bottom, width, height = self._box
            style = {"color": GREY, "ha": "center", "va": "center"}
            self._figure.text(left + width / 2, bottom + 0.45 * height, "none", **style)
        else:
            kinds[self._kind](lines, seconds)

    def _axes(self, legend_rows: int, indent: float = 0.046) -> Axes:
        left, bottom, width, height = self._box
        below = (1.5 + 0.75 * legend_rows) * self._row
        return self._figure.add_axes(
            (left + indent, bottom + below, width - indent - 0.014, height - below - 1.7 * self._row)
        )

    def _lines(self, lines: Sequence[Line], seconds: np.ndarray) -> None:
        stems = list(dict.fromkeys(line.stem for line in lines))
        columns = 2 if self._box[2] < 0.4 else 3
        shown = min(len(stems), columns * (2 if self._box[3] < 9 * self._row else 4))
        axes = self._axes(math.ceil(shown / columns))
        colour = {stem: PALETTE[index % len(PALETTE)] for index, stem in enumerate(stems)}
        if self._custom.get("stacking", {}).get("mode") == "normal":
            heights = [np.nan_to_num(line.values) for line in lines]
            axes.stackplot(seconds, heights, colors=[colour[line.stem] for line in lines], alpha=0.7, lw=0)
        else:
            for line in lines:
                style = {"ls": "--", "lw": 0.8} if line.is_end else {"lw": 1.4}
                axes.plot(seconds, line.values, color=colour[line.stem], **style)
        self._scale(axes, lines, seconds)
        handles = [mpl.patches.Patch(color=colour[stem]) for stem in stems[:shown]]
        names = [*stems[:shown]]
        if len(stems) > shown:
            names[-1] += f"  (and {len(stems) - shown} more)"
        left, bottom, _, _ = self._box
        if any(names):
            self._figure.legend(
                handles,
                names,
                loc="lower left",
                bbox_to_anchor=(left + 0.004, bottom + 0.05 * self._row),
                ncols=columns,
                frameon=False,
                fontsize=6.5,
                handlelength=0.9,
                handleheight=0.5,
                columnspacing=1.2,
                labelspacing=0.25,
            )

    def _scale(self, axes: Axes, lines: Sequence[Line], seconds: np.ndarray) -> None:
        if self._custom.get("scaleDistribution", {}).get("type") == "log":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(numticks=5))
        else:
            if self._defaults.get("min") is not None:
                axes.set_ylim(bottom=self._defaults["min"])
            axes.yaxis.set_major_locator(MaxNLocator(4))
        if self._defaults.get("max") is not None:
            axes.set_ylim(top=self._defaults["max"] * 1.02)
        elif not any(np.nanmax(line.values, initial=0.0) > 0 for line in lines):
            axes.set_ylim(0, 1)
        if self._custom.get("thresholdsStyle", {}).get("mode") == "dashed":
            mark = self._defaults["thresholds"]["steps"][-1]["value"]
            low, high = axes.get_ylim()
            if low <= mark <= 3 * high or axes.get_yscale() == "log":
                axes.axhline(mark, color=COLOURS["red"], ls=":", lw=1)
                axes.set_ylim(top=max(high, 1.15 * mark))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: worded(value, self._unit)))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
        axes.grid(axis="y", color=PALE, lw=0.5)
        _time(axes, seconds)

    def _number(self, lines: Sequence[Line], seconds: np.ndarray) -> None:
        values = lines[0].values
        known = values[np.isfinite(values)]
        last = float(known[-1]) if len(known) else math.nan
        left, bottom, width, height = self._box
        colour = "green"
        for step in self._defaults.get("thresholds", {}).get("steps", ()):
            if step["value"] is None or last >= step["value"]:
                colour = step["color"]
        text = {"fontsize": 15, "ha": "center", "va": "center", "color": COLOURS[colour]}
        self._figure.text(left + width / 2, bottom + 0.52 * height, worded(last, self._unit), **text)
        axes = self._figure.add_axes((left + 0.006, bottom + 0.08 * height, width - 0.012, 0.24 * height))
        axes.fill_between(seconds, np.nan_to_num(values), color=COLOURS[colour], alpha=0.25, lw=0)
        axes.set_axis_off()

    def _states(self, lines: Sequence[Line], seconds: np.ndarray) -> None:
        words = self._defaults["mappings"][0]["options"]
        axes = self._axes(0, indent=0.16)
        for index, line in enumerate(lines):
            for state, said in words.items():
                where = line.values == float(state)
                axes.fill_between(
                    seconds, index - 0.36, index + 0.36, where, color=COLOURS[said["color"]], alpha=0.75, lw=0
                )
            known = line.values[np.isfinite(line.values)]
            if len(known) and (said := words.get(f"{known[-1]:g}")):
                style = {"ha": "right", "va": "center", "color": "white", "fontsize": 7}
                axes.text(0.99 * seconds[-1], index, said["text"], **style)
        axes.set_yticks(range(len(lines)), [line.legend for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        _time(axes, seconds)

    def _table(self, lines: Sequence[Line]) -> None:
        left, bottom, width, height = self._box
        labels = sorted({label for line in lines for label in line.labels})
        rows = [labels, *([shortened(line.labels[label]) for label in labels] for line in lines)]
        widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(labels))]
        across = left + 0.012
        for column, widest in enumerate(widths):
            for index, row in enumerate(rows):
                down = bottom + height - (2.2 + 1.1 * index) * self._row
                weight = "bold" if index == 0 else "normal"
                self._figure.text(across, down, row[column], fontsize=6.5, fontweight=weight, va="center")
            across += (width - 0.02) * widest / sum(widths)


def _time(axes: Axes, seconds: np.ndarray) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{int(value) // 60}:{int(value) % 60:02d}")
    )
    axes.set_xlim(0, seconds[-1])
