"""The pictures of a run: risk against coverage, AUGRC by bootstrap, calibration of the probabilities.

Every function takes plain arrays and writes one PNG file. Colours are the Okabe-Ito set, which can be told
apart with colour-blindness.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from calibration.scores import FloatArray

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6B6B6B"
_LINE_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")
_STYLE: Any = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


@dataclass(frozen=True, slots=True)
class Curve:
    """A risk-coverage curve: error among the answered by share of answered images."""

    name: str
    coverage: FloatArray
    """[m], rising, in (0, 1]"""
    risk: FloatArray
    """[m], error among the answered, in [0, 1]"""
    band: tuple[FloatArray, FloatArray] | None = None
    """Lower and upper end of the 95 % interval of `risk`, each [m]."""


@dataclass(frozen=True, slots=True)
class OperatingMark:
    """The operating point of the shipped policy, measured on held-out images."""

    coverage: float
    risk: float
    risk_interval: tuple[float, float]
    certified_risk: float | None
    """Upper bound of the certificate; None without one"""


@contextmanager
def figure_on(path: Path, size: tuple[float, float] = (7.2, 4.6)) -> Iterator[Figure]:
    """An empty figure in the style of these pictures, `size` in inches, written to `path` at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(path, metadata={"Software": None})


@dataclass(frozen=True, slots=True)
class RiskLine:
    """The risk that was asked for."""

    alpha: float
    promised: bool | None
    """Whether a certificate proves it; None: none was tried yet"""

    @property
    def text(self) -> str:
        asked = f"at most {100 * self.alpha:g} %"
        if self.promised is None:
            return f"asked for: {asked}"
        return f"promise: {asked}" if self.promised else f"asked for: {asked}; no promise could be made"


def draw_risk_coverage(
    path: Path, curves: Sequence[Curve], line: RiskLine, mark: OperatingMark | None, subtitle: str
) -> None:
    """Risk-coverage curves with the line at the risk asked for and the shipped operating point."""
    with figure_on(path) as figure:
        axes = figure.subplots()
        for curve, colour in zip(curves, _LINE_COLOURS, strict=False):
            axes.plot(100 * curve.coverage, 100 * curve.risk, color=colour, lw=2.0, label=curve.name)
            if curve.band is not None:
                low, high = curve.band
                axes.fill_between(100 * curve.coverage, 100 * low, 100 * high, color=colour, alpha=0.15, lw=0)
        colour = RED if line.promised else GREY
        axes.axhline(100 * line.alpha, color=colour, lw=1.4, ls="--")
        axes.annotate(
            line.text,
            (0.0, 100 * line.alpha),
            xytext=(6, 4),
            textcoords="offset points",
            color=colour,
            fontsize=9.5,
        )
        if mark is not None:
            _draw_mark(axes, mark)
        axes.set_xlim(0, 100.5)
        axes.set_ylim(0, risk_ceiling(curves, line, mark))
        axes.set_xlabel("coverage: share of images answered (%)")
        axes.set_ylabel("error among the answered (%)")
        figure.suptitle("Risk against coverage", x=0.01, ha="left", fontweight="bold", fontsize=13)
        axes.set_title(subtitle, fontsize=9.5, fontweight="normal", color=GREY)
        if curves or mark is not None:
            axes.legend(loc="upper left")


def _draw_mark(axes: Axes, mark: OperatingMark) -> None:
    low, high = mark.risk_interval
    axes.errorbar(
        100 * mark.coverage,
        100 * mark.risk,
        yerr=[[100 * max(0.0, mark.risk - low)], [100 * max(0.0, high - mark.risk)]],
        fmt="o",
        ms=7,
        color="black",
        capsize=4,
        lw=1.4,
        zorder=5,
        label=f"shipped policy: {100 * mark.coverage:.1f} % answered, {100 * mark.risk:.2f} % of them wrong",
    )
    if mark.certified_risk is not None:
        axes.plot(
            100 * mark.coverage,
            100 * mark.certified_risk,
            marker="v",
            ms=7,
            color=RED,
            ls="none",
            zorder=5,
            label=f"certified upper bound: {100 * mark.certified_risk:.2f} %",
        )


def risk_ceiling(curves: Sequence[Curve], line: RiskLine, mark: OperatingMark | None) -> float:
    """Top of the risk axis in percent: with a promise the region near alpha, without the far tail; without a
    promise all of the curves."""
    alpha = line.alpha
    full = max((float(curve.risk.max()) for curve in curves if len(curve.risk)), default=alpha)
    marked = 0.0 if mark is None else 1.3 * mark.risk_interval[1]
    shown = 1.15 * full
    return 100 * max(2.5 * alpha, min(shown, 12 * alpha) if line.promised else shown, marked)


def draw_augrc_distribution(
    path: Path, samples: Mapping[str, FloatArray], observed: Mapping[str, float], subtitle: str
) -> None:
    """Bootstrap distributions of the AUGRC, one row per score: density, 95 % interval, observed value.

    samples: name -> float64 [draws]; observed: name -> AUGRC on the data as they are. Both x 1000.
    """
    with figure_on(path, (7.2, 1.5 + 0.85 * len(samples))) as figure:
        axes = figure.subplots()
        names = list(samples)
        for row, (name, colour) in enumerate(zip(names, _LINE_COLOURS * len(names), strict=False)):
            values = 1000 * samples[name]
            height = len(names) - 1 - row
            grid, density = _density(values)
            axes.fill_between(grid, height, height + 0.75 * density, color=colour, alpha=0.35, lw=0)
            axes.plot(grid, height + 0.75 * density, color=colour, lw=1.2)
            low, high = np.quantile(values, [0.025, 0.975])
            axes.plot([low, high], [height, height], color=colour, lw=4, solid_capstyle="round")
            axes.plot(1000 * observed[name], height, "o", ms=7, mfc="white", mec="black", mew=1.4, zorder=4)
            axes.text(
                0.995,
                height + 0.3,
                f"{1000 * observed[name]:.2f}  [{low:.2f}, {high:.2f}]",
                transform=axes.get_yaxis_transform(),
                ha="right",
                fontsize=9.5,
                color="#333333",
            )
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.set_ylim(-0.35, len(names) - 0.1)
        left, right = axes.get_xlim()
        axes.set_xlim(left, right + 0.3 * (right - left))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("AUGRC x 1000 (lower is better)")
        figure.suptitle("AUGRC by bootstrap", x=0.01, ha="left", fontweight="bold", fontsize=13)
        axes.set_title(subtitle, fontsize=9.5, fontweight="normal", color=GREY)


def _density(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gaussian kernel density with Silverman's bandwidth, highest point scaled to 1."""
    spread = float(values.std())
    bandwidth = max(1.06 * spread * len(values) ** -0.2, 1e-9)
    grid = np.linspace(values.min() - 3 * bandwidth, values.max() + 3 * bandwidth, 256)
    density = np.exp(-0.5 * ((grid[:, None] - values[None, :]) / bandwidth) ** 2).sum(axis=1)
    return grid, density / density.max()


@dataclass(frozen=True, slots=True)
class ReliabilityLine:
    """Observed accuracy by stated confidence, in bins of equal counts."""

    name: str
    stated: FloatArray
    """[bins], mean confidence of the bin"""
    observed: FloatArray
    """[bins], share of correct answers in the bin"""
    interval: tuple[FloatArray, FloatArray]
    """95 % interval of `observed`, each [bins]"""
    ece: float


def draw_calibration_curve(
    path: Path, lines: Sequence[ReliabilityLine], confidence: FloatArray, subtitle: str
) -> None:
    """Stated against observed probability of a right answer, above a histogram of `confidence` [n]."""
    with figure_on(path, (6.4, 6.0)) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        start = float(np.floor(20 * min(confidence.min(), *(line.stated.min() for line in lines))) / 20)
        axes.plot([start, 1], [start, 1], color=GREY, lw=1.2, ls="--", label="perfectly calibrated")
        for line, colour in zip(lines, _LINE_COLOURS, strict=False):
            low, high = line.interval
            spread = np.maximum([line.observed - low, high - line.observed], 0.0)
            axes.errorbar(
                line.stated,
                line.observed,
                yerr=spread,
                color=colour,
                fmt="o-",
                ms=5,
                lw=1.6,
                capsize=3,
                label=f"{line.name} (ECE {line.ece:.3f})",
            )
        axes.set_ylabel("observed share of right answers")
        axes.legend(loc="upper left")
        figure.suptitle("Calibration of the probabilities", x=0.01, ha="left", fontweight="bold", fontsize=13)
        axes.set_title(subtitle, fontsize=9.5, fontweight="normal", color=GREY)
        below.hist(confidence, bins=np.linspace(start, 1, 26), color=BLUE, alpha=0.6)
        below.set_xlim(start - 0.01, 1.01)
        below.set_ylabel("images")
        below.set_xlabel("stated probability of being right")
