"""Options that several verbs share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from trainer import choices

Source = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="Where the images are: `scenes`, `parquet:PATH`, `folder:PATH` or `hub:OWNER/NAME`.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        help="Column that names what belongs together (drive, track, burst). Images of one group are not "
        "independent: splits and certificates go by it."
    ),
]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels; `label` where there is one.")]
ImageColumn = Annotated[str, typer.Option(help="Column of the images, in parquet.")]
Bundle = Annotated[
    Path, typer.Option("--bundle", metavar="DIR", help="Folder of a bundle, for example `runs/x/bundle`.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]
Alpha = Annotated[float | None, typer.Option(help="Largest share of wrong answers promised. [default: 0.01]")]
Delta = Annotated[
    float | None, typer.Option(help="Largest probability that the promise is false. [default: 0.05]")
]
Device = Annotated[
    choices.Device | None,
    typer.Option(help="Where training computes. [default: the GPU where there is one]"),
]
Precision = Annotated[
    choices.Precision | None,
    typer.Option(help="Of training's activations. [default: bf16 where the machine has it in hardware]"),
]
EngineName = Annotated[
    Literal["auto", "onnxruntime-cpu", "onnxruntime-cuda", "openvino"] | None,
    typer.Option(
        "--engine",
        help="What computes. [default: auto, of those that the bundle is certified on and that are here]",
    ),
]
EnginePrecision = Annotated[
    Literal["auto", "fp32", "int8", "bf16"] | None,
    typer.Option("--precision", help="At which precision. [default: auto, likewise]"),
]
Seed = Annotated[int, typer.Option(min=0, help="One seed gives one result.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
