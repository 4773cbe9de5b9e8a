"""The verb `drift`, with one verb to report on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson, Bundle

drift = typer.Typer(
    name="drift",
    no_args_is_help=True,
    help="Show how the images of a service have moved away from the reference of its bundle.",
)


@drift.callback()
def _group() -> None:
    """Keeps `report` a verb of its own."""


@drift.command()
def report(
    bundle: Bundle,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Data folder of the service. [default: `DEMUR_DATA_DIR`, or demur-data]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the pictures, one per signal.")] = Path(
        "drift-report"
    ),
    as_json: AsJson = False,
) -> None:
    """Report what moved in the last window, by how much, and what the model's probabilities say.

    Example: `demur drift report --bundle runs/first/bundle --out drift-report`

    A service looks at a random sample of its images in its spare time and compares them once an hour, as soon
    as 250 have come together. The report reads what it has kept, also while it runs.
    """
    from demur.commands.drift import default_data_dir, draw_report, read_drift, report_lines, report_values
    from demur.output import write_json

    found = read_drift(bundle, data_dir or default_data_dir())
    pictures = draw_report(found, out)
    if as_json:
        write_json(report_values(found, pictures))
        return
    for line in report_lines(found):
        print(line)
    print(f"\nPictures: {len(pictures)} in {out}")
