"""The verb `data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import SOURCES, AsJson, Group, ImageColumn, LabelColumn, Seed, SplitsFrom


def data(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"Images: {SOURCES}.")],
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Write a contact sheet: one picture of many images. [default: none]"
        ),
    ] = None,
    write_folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the images to a new folder, one sub-folder per class and a `metadata.csv`, and stop "
            "there. [default: none]",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=40, help="Rows of the contact sheet.")] = 5,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Columns of the contact sheet.")] = 8,
    group: Group = None,
    label_column: LabelColumn = None,
    splits: SplitsFrom = None,
    image_column: ImageColumn = "image",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Inspect a data set before training: counts, groups, copies, leaks, unreadable images.

    Example: `demur data folder:photos --group drive --sheet sheet.png`

    `demur data scenes --sheet scenes.png` shows the synthetic scenes; options of their generator are part
    of SOURCE: `scenes:sequences=200,difficulty=0.8`. `--write-folder` makes files of them, for a first try
    without photographs of one's own.
    """
    from demur.commands.data import report_data, write_images
    from trainer.data.config import DataConfig
    from trainer.scenes import SceneOptions

    config = DataConfig(
        source=source,
        group=group,
        label_column=label_column,
        splits=splits or "drawn",
        image_column=image_column,
        scenes=SceneOptions(),
    )
    if write_folder is not None:
        write_images(config, write_folder, as_json=as_json)
        return
    report_data(config, sheet=sheet, shape=(rows, columns), seed=seed, as_json=as_json)
