"""Verbs that make something of labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from demur.verbs.options import (
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
)
from trainer.choices import Adapt, AugmentLevel, CheckpointSelection, ComparedMethod, names

PANEL = "From images to a bundle"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(demo)
    app.command(rich_help_panel=PANEL)(data)
    app.command(rich_help_panel=PANEL)(train)
    app.command(rich_help_panel=PANEL)(compare)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run.")] = Path("demo-run"),
    serve: Annotated[bool, typer.Option(help="Serve the bundle on 127.0.0.1:8000 when it is done.")] = True,
    seed: Seed = 0,
) -> None:
    """Everything once, in a few minutes: scenes, training, certificate, bundle, service."""
    from demur.demo import run_demo

    run_demo(out, serve=serve, seed=seed)


def data(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="`scenes`, `parquet:PATH`, `folder:PATH`, `hub:OWNER/NAME`."),
    ],
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write a contact sheet: a page of the images.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=40, help="Rows of the contact sheet.")] = 5,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Columns of the contact sheet.")] = 8,
    group: Group = None,
    label_column: LabelColumn = None,
    image_column: ImageColumn = "image",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Look at a data set before training: counts, groups, copies, leaks, unreadable images.

    `demur data scenes --sheet scenes.png` shows what the built-in generator draws; its options go into
    the source: `scenes:sequences=200,difficulty=0.8`.
    """
    from demur.look import look_at

    look_at(
        source,
        sheet=sheet,
        shape=(rows, columns),
        group=group,
        label_column=label_column,
        image_column=image_column,
        seed=seed,
        as_json=as_json,
    )


def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; the same folder resumes.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE", help="`scenes`, `parquet:PATH`, `folder:PATH` or `hub:OWNER/NAME`."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="Configuration; options given here win over it."),
    ] = None,
    group: Group = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels. [default: label]")] = None,
    image_column: Annotated[str | None, typer.Option(help="Column of the images. [default: image]")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the bundle.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Pretrained stage B: `efficientnet-lite0` (extra `imagenet`), `folder:PATH` or "
            "`hub:OWNER/NAME`.",
        ),
    ] = None,
    adapt: Annotated[
        Adapt | None,
        typer.Option(help="What is trained of it. [default: lora for transformers, full for EfficientNets]"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Planned minutes of training, both stages together, on two cores.")
    ] = None,
    alpha: Alpha = None,
    delta: Delta = None,
    min_coverage: Annotated[float | None, typer.Option(help="Share that should be answered.")] = None,
    score: Annotated[
        Literal["softmax", "margin", "gate", "best"] | None,
        typer.Option(help="What ranks the images; `best` compares them on val_select."),
    ] = None,
    certificate: Annotated[
        Literal["exact", "scrc-i", "scrc-t", "none"] | None,
        typer.Option(help="How the promise is proven. [default: exact]"),
    ] = None,
    each_answer: Annotated[
        bool | None,
        typer.Option("--each-answer", help="Promise alpha for each answer by itself; costs coverage."),
    ] = None,
    slices: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Promise alpha for each value of this metadata column."),
    ] = None,
    augment: Annotated[
        AugmentLevel | None,
        typer.Option(
            help="How far training images are changed; `ladder`: as in the roadwork task. [default: degraded]"
        ),
    ] = None,
    checkpoint_selection: Annotated[
        CheckpointSelection | None, typer.Option(help="Which epoch is kept. [default: augrc]")
    ] = None,
    skip_bad: Annotated[
        bool | None, typer.Option("--skip-bad", help="Go on without images that cannot be used; recorded.")
    ] = None,
    device: Device = None,
    precision: Precision = None,
    seed: Annotated[int | None, typer.Option(min=0, help="One seed gives one result.")] = None,
) -> None:
    """The whole run: data, splits by group, both stages, certificate, report, bundle.

    Example: `demur train --data folder:photos --group drive --out runs/first`. Photos lie in one
    sub-folder a class, or beside a `metadata.csv` with `file_name` and `label`.
    """
    from trainer.config import load_config
    from trainer.pipeline import train as run_training
    from trainer.run.console import RunConsole

    overrides = {
        "data.source": source,
        "data.group": group,
        "data.label_column": label_column,
        "data.image_column": image_column,
        "data.skip_bad": skip_bad,
        "name": name,
        "backbone": backbone,
        "adapt": adapt,
        "minutes": minutes,
        "promise.alpha": alpha,
        "promise.delta": delta,
        "promise.min_coverage": min_coverage,
        "promise.score": score,
        "promise.certificate": certificate,
        "promise.each_answer": each_answer,
        "promise.slices": slices,
        "augment": augment,
        "checkpoint_selection": checkpoint_selection,
        "compute.device": device,
        "compute.precision": precision,
        "seed": seed,
    }
    run_training(load_config(config, overrides), out, RunConsole())


def compare(
    source: Source,
    backbone: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="Pretrained: `folder:PATH` or `hub:OWNER/NAME`.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the table.")],
    methods: Annotated[
        str, typer.Option(help=f"Of {', '.join(names(ComparedMethod))}; separated by commas.")
    ] = ",".join(names(ComparedMethod)),
    seeds: Annotated[int, typer.Option(min=1, help="Runs a method.")] = 3,
    search: Annotated[
        bool, typer.Option(help="Try three learning rates a method with the first seed.")
    ] = True,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    batch_size: Annotated[int, typer.Option(min=2)] = 64,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels a side. [default: what the backbone was trained with]")
    ] = None,
    train_images: Annotated[
        int | None, typer.Option(help="A labelled budget: so many training images. [default: all]")
    ] = None,
    rank: Annotated[int, typer.Option(min=1, help="Of the adapters.")] = 8,
    device: Device = None,
    precision: Precision = None,
    group: Group = None,
    label_column: LabelColumn = None,
    image_column: ImageColumn = "image",
    alpha: Alpha = None,
    delta: Delta = None,
    seed: Seed = 0,
) -> None:
    """Full training, LoRA, DoRA and the linear probe of one backbone, side by side.

    Writes compare.csv, compare.md and compare.png: accuracy, balanced MCC, AUGRC, coverage planned and
    certified, whether the gate meets both limits, trained share, time and memory, and the paired
    differences to full training with their intervals.
    """
    from trainer.compare.config import read_config
    from trainer.compare.run import compare as run_comparison
    from trainer.run.console import RunConsole

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
        "seed": seed,
    }
    run_comparison(read_config(values), out, RunConsole())
