"""Tables for the terminal: a threshold sweep, and a report on a test split."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from trainer.reports.evaluation import Measurement, Report
from trainer.reports.threshold_sweep import SweepRow

SHOWN = 16
"""Number of rows of a sweep that fit a screen; the file holds all of them."""


def sweep_table(rows: Sequence[SweepRow]) -> Table:
    """Evenly spaced steps from strict to loose, the last one included."""
    table = Table(title="Thresholds on val_select, strict to loose")
    for column in (
        "stage A from",
        "stage B from",
        "coverage",
        "wrong / answered",
        "error",
        "stage A",
        "compute",
    ):
        table.add_column(column, justify="right", overflow="fold")
    for index in np.unique(np.linspace(0, len(rows) - 1, SHOWN).round().astype(np.int64)).tolist():
        row = rows[index]
        table.add_row(
            _threshold(row.threshold_a),
            "-" if row.threshold_b is None else _threshold(row.threshold_b),
            f"{100 * row.coverage:.1f} %",
            f"{row.wrong} / {row.answered}",
            f"{100 * row.error:.2f} %",
            f"{100 * row.stage_a_share:.0f} %",
            "-" if math.isnan(row.compute) else f"{100 * row.compute:.0f} %",
        )
    return table


def report_table(report: Report) -> Table:
    """Every metric with its 95 % interval."""
    table = Table(title=f"{report.split}: {report.n:,} images, {report.units:,} independent units")
    table.add_column("figure", overflow="fold")
    for column in ("value", "95 % interval", "images"):
        table.add_column(column, justify="right", overflow="fold")
    for measured in report.measurements:
        table.add_row(measured.metric, _figure(measured.value), _interval(measured), f"{measured.n:,}")
    return table


def _threshold(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.4g}"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _interval(measured: Measurement) -> str:
    if measured.low is None or measured.high is None:
        return ""
    return f"{measured.low:.4f} to {measured.high:.4f}"
