"""`demur data`: a source opened, its contact sheet drawn and its report printed, or its images written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from demur.output import run_console, write_json
from trainer.data.config import DataConfig
from trainer.data.export import write_folder
from trainer.data.opening import open_with_progress
from trainer.data.report import describe
from trainer.data.sheet import contact_sheet
from trainer.data.tables import print_report


def report_data(
    data: DataConfig, *, sheet: Path | None, shape: tuple[int, int], seed: int, as_json: bool
) -> None:
    """Report on the source of `data`; a contact sheet of `shape` (rows, columns) goes to the file `sheet`.

    With `as_json` the report goes to standard output as JSON, everything else to standard error. Raises
    DataError.
    """
    console = run_console(as_json)
    source = open_with_progress(data, console)
    if sheet is not None:
        contact_sheet(source, sheet, rows=shape[0], columns=shape[1], seed=seed)
        console.note(f"contact sheet: {sheet}")
    with console.bar("Reading every image", len(source)) as bar:
        report = describe(source, seed=seed, advance=bar.advance)
    if as_json:
        write_json(report.to_dict())
    else:
        print_report(report, console.console)


def write_images(data: DataConfig, folder: Path, *, as_json: bool) -> None:
    """Write the images of `data` below the new `folder`, as `folder:PATH` reads them. Raises DataError."""
    console = run_console(as_json)
    source = open_with_progress(data, console)
    with console.bar("Writing", len(source)) as bar:
        written = write_folder(source, folder, bar.advance)
    console.note(f"images: {written.images:,} in {folder} (folder:{folder})")
    if written.left_out:
        console.warn(f"left out, unreadable: {len(written.left_out)}, the first: {written.left_out[0]}")
    if not written.order_kept:
        console.warn(
            f"the classes were {', '.join(source.class_names)}, in this order; a folder's classes come in "
            "alphabetical order unless data.class_names in a configuration names them"
        )
    if as_json:
        write_json({"folder": folder, "class_names": source.class_names, **asdict(written)})
