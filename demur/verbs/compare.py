"""The verb `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import (
    TRAINING,
    Alpha,
    AsJson,
    Delta,
    Device,
    Group,
    ImageColumn,
    LabelColumn,
    Precision,
    Seed,
    Source,
    SplitSeed,
)
from trainer.choices import ComparedMethod, names


def compare(
    source: Source,
    backbone: Annotated[
        str,
        typer.Option(metavar="WEIGHTS", help="Pretrained backbone: `folder:PATH` or `hub:OWNER/NAME`."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the tables, the picture and the runs.")],
    methods: Annotated[
        str,
        typer.Option(
            metavar="METHODS", help=f"Methods, separated by commas, of {', '.join(names(ComparedMethod))}."
        ),
    ] = ",".join(names(ComparedMethod)),
    seeds: Annotated[int, typer.Option(min=1, help="Runs per method, each with a seed of its own.")] = 3,
    seed: Seed = 0,
    group: Group = None,
    split_seed: SplitSeed = None,
    label_column: LabelColumn = None,
    image_column: ImageColumn = "image",
    alpha: Alpha = None,
    delta: Delta = None,
    search: Annotated[
        bool,
        typer.Option(
            help="Choose each method's learning rate among three, with the first seed.",
            rich_help_panel=TRAINING,
        ),
    ] = True,
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the training images.", rich_help_panel=TRAINING)
    ] = 10,
    batch_size: Annotated[int, typer.Option(min=2, help="Images per step.", rich_help_panel=TRAINING)] = 64,
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Height and width of the input. [default: as the backbone was trained]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    train_images: Annotated[
        int | None,
        typer.Option(
            help="Number of training images, the same for every method. [default: all of the training split]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapters.", rich_help_panel=TRAINING)] = 8,
    device: Device = None,
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Compare full training, LoRA, DoRA and a linear probe of one pretrained backbone.

    Example: `demur compare --data folder:photos --backbone folder:weights/vit --out runs/compared`

    Writes compare.csv, compare.md and compare.png: accuracy, balanced MCC, AUGRC, planned and certified
    coverage, feasibility of the gate, share of trained weights, time and memory, and the paired
    differences to full training with their intervals.
    """
    from demur.commands.compare import compare_methods
    from trainer.compare.config import read_config

    values = {
        "data.source": source,
        "data.group": group,
        "data.label_column": label_column,
        "data.image_column": image_column,
        "backbone": backbone,
        "methods": [name.strip() for name in methods.split(",") if name.strip()],
        "seeds": seeds,
        "search": search,
        "epochs": epochs,
        "batch_size": batch_size,
        "image_size": image_size,
        "train_images": train_images,
        "rank": rank,
        "compute.device": device,
        "compute.precision": precision,
        "promise.alpha": alpha,
        "promise.delta": delta,
        "splits.seed": split_seed,
        "seed": seed,
    }
    compare_methods(read_config(values), out, as_json=as_json)
