"""Tables on a narrow terminal: no figure is cut."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from bundle.inspect import render_bundle
from bundle.verify import verify_bundle
from demur.commands.tables import report_table, sweep_table
from trainer.reports.evaluation import Measurement, Report
from trainer.reports.threshold_sweep import SweepRow

ROW = SweepRow(5.354321, 6.35, 0.6131, 92, 0, 0.0123, 0.04, 0.55, 1.74)
MEASURED = Measurement("balanced_mcc", 0.98765, 0.96012, 0.99994, 150, "bootstrap")
REPORT = Report("val_test", "ab" * 32, 150, 150, (MEASURED,))


@pytest.mark.parametrize("table", [sweep_table([ROW]), report_table(REPORT)])
def test_no_figure_is_cut(table: RenderableType) -> None:
    console = Console(width=40, record=True)
    console.print(table)
    assert "…" not in console.export_text()


def test_no_figure_of_a_bundle_is_cut(tiny_bundle: Path) -> None:
    console = Console(width=30, record=True)
    render_bundle(verify_bundle(tiny_bundle), console)
    text = console.export_text()
    assert "…" not in text
    assert re.search(r"0\.75", text)
