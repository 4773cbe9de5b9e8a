"""The verb `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.choices import TABLE_SUFFIXES
from demur.verbs.options import (
    AsJson,
    Bundle,
    EngineOption,
    EnginePrecision,
    ImageColumn,
    LabelColumn,
    Source,
)


def predict(
    bundle: Bundle,
    source: Source,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help=f"Table of decisions, one row per image: {', '.join(TABLE_SUFFIXES[:-1])} or "
            f"{TABLE_SUFFIXES[-1]}.",
        ),
    ],
    engine: EngineOption = None,
    precision: EnginePrecision = None,
    label_column: LabelColumn = None,
    image_column: ImageColumn = "image",
    as_json: AsJson = False,
) -> None:
    """Decide a set of images offline, exactly as the service does, and write a table.

    Example: `demur predict --bundle runs/first/bundle --data folder:new --out decisions.parquet`

    Columns of the table: `path`, `decision`, `label`, `label_name`, `prediction_set`, `probability` (of class
    1), `confidence`, `stage`, `reason`, `error`, `truth` (the label that the data gives), `bundle`,
    `bundle_version`, and for more than two classes `probabilities`.
    """
    from bundle.choices import AUTO
    from bundle.selection.choice import EnginePreference
    from demur.commands.predict import predict as predict_to_table
    from trainer.data.config import DataConfig
    from trainer.scenes import SceneOptions

    data = DataConfig(
        source=source, label_column=label_column, image_column=image_column, scenes=SceneOptions()
    )
    preference = EnginePreference(engine or AUTO, precision or AUTO)
    predict_to_table(bundle, data, out, preference, as_json=as_json)
