"""The verb `profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import IMAGES, SOURCES, AsJson, Bundle, EngineOption, EnginePrecision, ImageColumn


def profile(
    bundle: Bundle,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for profile.json, profile.csv and profile.png.")
    ] = Path("profile"),
    seconds: Annotated[
        float, typer.Option(min=3, help="Approximate duration of the measurement, in seconds.")
    ] = 60.0,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of service workers, and of plain loops to compare with. [default: one per core]",
        ),
    ] = None,
    engine: EngineOption = None,
    precision: EnginePrecision = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SOURCE",
            help=f"Images to measure with: {SOURCES}. [default: the bundle's golden cases]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    image_column: ImageColumn = "image",
    as_json: AsJson = False,
) -> None:
    """Measure the speed of a bundle on this machine: per step, over HTTP, and against the hardware's limit.

    Example: `demur profile --bundle runs/first/bundle --data folder:photos`

    Plain loops over the models and the real service run in turn, six times each; figures are medians with
    their range.
    """
    from bundle.choices import AUTO
    from bundle.selection.choice import EnginePreference
    from demur.commands.profile import profile_and_report

    profile_and_report(
        bundle,
        source,
        out,
        image_column=image_column,
        seconds=seconds,
        processes=processes,
        wish=EnginePreference(engine or AUTO, precision or AUTO),
        as_json=as_json,
    )
