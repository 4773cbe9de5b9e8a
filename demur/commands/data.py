"""`demur data`: a source opened, its contact sheet drawn and its report printed."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from demur.output import write_json
from trainer.data.config import DataConfig
from trainer.data.report import describe
from trainer.data.sheet import contact_sheet
from trainer.data.source import open_source
from trainer.data.tables import print_report
from trainer.run.console import RunConsole
from trainer.run.disk import explain_disk_errors


def report_data(
    data: DataConfig, *, sheet: Path | None, shape: tuple[int, int], seed: int, as_json: bool
) -> None:
    """Report on the source of `data`; a contact sheet of `shape` (rows, columns) goes to the file `sheet`.

    With `as_json` the report goes to standard output as JSON, everything else to standard error. Raises
    DataError.
    """
    console = RunConsole(Console(stderr=as_json))
    with console.bar("Opening", 1, unit="sources") as bar:
        source = open_source(
            data, on_progress=lambda done, total: bar.at(done, total, "Rendering street scenes")
        )
        bar.finish()
    if sheet is not None:
        with explain_disk_errors(sheet):
            contact_sheet(source, sheet, rows=shape[0], columns=shape[1], seed=seed)
        console.note(f"contact sheet: {sheet}")
    with console.bar("Reading every image", len(source)) as bar:
        report = describe(source, seed=seed, advance=bar.advance)
    if as_json:
        write_json(report.to_dict())
    else:
        print_report(report, console.console)
