"""The table of a comparison, as CSV, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes

from trainer.compare.figures import COMPARED, Difference, MethodSummary
from trainer.reports.pictures import BLUE, GREY, ORANGE, figure_on
from trainer.run.folder import write_bytes, write_csv

MIB = 2**20
FIGURES = (
    *("accuracy", "balanced_mcc", "augrc", "planned_coverage", "certified_coverage", "gate_coverage"),
    *("gate_feasible", "trained_share", "seconds", "step_bytes"),
)
_TITLES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "accuracy": ("accuracy, percentage points", 100.0),
        "balanced_mcc": ("balanced MCC, x 100", 100.0),
        "augrc": ("AUGRC, x 1000 (lower is better)", 1000.0),
    }
)


def write_comparison(summaries: Sequence[MethodSummary], folder: Path, subtitle: str) -> tuple[Path, ...]:
    """compare.csv, compare_seeds.csv, compare.md and compare.png in `folder`; returns their paths."""
    table, seeds = folder / "compare.csv", folder / "compare_seeds.csv"
    differences = [f"{name}{end}" for name in COMPARED for end in ("_vs_full", "_low", "_high")]
    write_csv(
        table,
        ["method", "seeds", *FIGURES, *(f"{name}_sd" for name in COMPARED), *differences],
        [
            [
                summary.method,
                len(summary.runs),
                *(summary.mean(figure) for figure in FIGURES),
                *(summary.spread(name) for name in COMPARED),
                *(value for name in COMPARED for value in _ends(summary.against_full.get(name))),
            ]
            for summary in summaries
        ],
    )
    runs = [run for summary in summaries for run in summary.runs]
    write_csv(
        seeds,
        [*asdict(runs[0]), "trained_share"],
        [[*asdict(run).values(), run.trained_share] for run in runs],
    )
    text, picture = folder / "compare.md", folder / "compare.png"
    write_bytes(text, markdown(summaries, subtitle).encode())
    draw_comparison(summaries, picture, subtitle)
    return table, seeds, text, picture


def _ends(difference: Difference | None) -> tuple[float | None, ...]:
    return (None, None, None) if difference is None else (difference.value, difference.low, difference.high)


_Cell = Callable[[MethodSummary], str]
_COLUMNS: Mapping[str, _Cell] = MappingProxyType(
    {
        "method": lambda s: s.title,
        "accuracy %": lambda s: f"{100 * s.mean('accuracy'):.2f} ± {100 * s.spread('accuracy'):.2f}",
        "balanced MCC": lambda s: f"{s.mean('balanced_mcc'):.3f} ± {s.spread('balanced_mcc'):.3f}",
        "AUGRC x 1000": lambda s: f"{1000 * s.mean('augrc'):.2f} ± {1000 * s.spread('augrc'):.2f}",
        "coverage planned %": lambda s: f"{100 * s.mean('planned_coverage'):.1f}",
        "certified %": lambda s: f"{100 * s.mean('certified_coverage'):.1f}",
        "gate feasible": lambda s: f"{sum(run.gate_feasible for run in s.runs)} of {len(s.runs)}",
        "trained %": lambda s: f"{100 * s.mean('trained_share'):.2f}",
        "seconds": lambda s: f"{s.mean('seconds'):,.0f}",
        "MiB a step": lambda s: f"{s.mean('step_bytes') / MIB:,.0f}",
        "lr": lambda s: f"{s.mean('rate'):g}",
    }
)


def markdown(summaries: Sequence[MethodSummary], subtitle: str) -> str:
    """Two tables: the figures, and the differences to full training with their intervals."""
    lines = ["# Full training, adapters and linear probe", "", subtitle, ""]
    lines += _table(list(_COLUMNS), [[cell(s) for cell in _COLUMNS.values()] for s in summaries])
    lines += [
        "",
        "± is the standard deviation over the seeds. Coverage is what a certificate on val_calib answers; "
        "every method was certified on the same val_calib, so these are figures to compare by and no "
        "promise. Choose by the coverage planned, which val_select gives: a method chosen by what val_calib "
        "or val_test shows here needs a certificate on images that were in neither. MiB a step: weights, "
        "gradients, optimizer state and kept activations of a batch. "
        "Seconds are of training; of the linear probe, of its heads on features that were computed once.",
    ]
    compared = [s for s in summaries if s.against_full]
    if compared:
        header = ["minus full training", *(title for title, _ in _TITLES.values())]
        rows = [[s.title, *(_interval(s.against_full[name], name) for name in COMPARED)] for s in compared]
        lines += [
            "",
            *_table(header, rows),
            "",
            "In brackets the 95 % interval of a paired bootstrap over the images of val_test (whole groups, "
            "where there are groups); * marks those that exclude 0.",
        ]
    return "\n".join(lines) + "\n"


def _interval(difference: Difference, name: str) -> str:
    scale = _TITLES[name][1]
    value, low, high = (scale * part for part in (difference.value, difference.low, difference.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]{' *' if difference.is_clear else ''}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def draw_comparison(summaries: Sequence[MethodSummary], path: Path, subtitle: str) -> None:
    """Differences of every method to full training with their intervals, one panel per metric.

    Without full training there is nothing to subtract, so the figures themselves are drawn.
    """
    compared = [s for s in summaries if s.against_full]
    shown = compared or list(summaries)
    with figure_on(path, (10.5, 1.7 + 0.5 * len(shown))) as figure:
        panels = figure.subplots(1, len(COMPARED), sharey=True)
        places = np.arange(len(shown))[::-1]
        for axes, name in zip(np.atleast_1d(panels), COMPARED, strict=True):
            title, scale = _TITLES[name]
            for place, summary in zip(places, shown, strict=True):
                _draw_row(axes, float(place), summary, name, scale)
            if compared:
                axes.axvline(0.0, color=GREY, lw=1.2)
            axes.set_yticks(
                places, [f"{s.title}\n{100 * s.mean('trained_share'):.2g} % trained" for s in shown]
            )
            axes.set_ylim(-0.6, len(shown) - 0.4)
            axes.set_xlabel(title, fontsize=9.5)
        title = "Minus full training, with 95 % intervals" if compared else "Methods, a dot a seed"
        figure.suptitle(f"{title}\n", x=0.01, ha="left", fontweight="bold", fontsize=13)
        figure.text(0.01, 0.995, f"\n\n{subtitle}", va="top", fontsize=9, color=GREY)


def _draw_row(axes: Axes, place: float, summary: MethodSummary, name: str, scale: float) -> None:
    difference = summary.against_full.get(name)
    if difference is None:
        values = [scale * getattr(run, name) for run in summary.runs]
        axes.plot(values, [place] * len(values), "o", color=BLUE, ms=6)
        return
    colour = ORANGE if difference.is_clear else BLUE
    axes.plot([scale * difference.low, scale * difference.high], [place, place], color=colour, lw=2.4)
    axes.plot([scale * difference.value], [place], "o", color=colour, ms=7)
