"""The verb that makes a backbone of images without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import Device, Group, LabelColumn, Precision
from trainer.choices import PretrainRows, TransformerFamily, names

PANEL = "From images to a bundle"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(pretrain)


def pretrain(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the backbone; the same folder resumes.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE", help="`scenes`, `parquet:PATH`, `folder:PATH` or `hub:OWNER/NAME`."
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="`folder:PATH` or `hub:OWNER/NAME` to carry on from (ExPLoRA); with --from-scratch a kind: "
            f"{', '.join(names(TransformerFamily))}.",
        ),
    ] = None,
    from_scratch: Annotated[
        bool | None, typer.Option("--from-scratch", help="Start from random weights and train all of them.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Configuration; options given here win over it.")
    ] = None,
    rows: Annotated[
        PretrainRows | None,
        typer.Option(
            help="`train`: what `demur train` trains on, given the same data, group and seed, so that "
            "nothing that it certifies or tests on is seen. [default: train where there are labels, else all]"
        ),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="ExPLoRA: of LoRA on queries and values. [default: 8]")
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(min=0, help="ExPLoRA: so many last blocks are trained whole. [default: 1]")
    ] = None,
    patch_size: Annotated[int | None, typer.Option(min=2, help="From scratch: pixels a side.")] = None,
    hidden_size: Annotated[
        int | None, typer.Option(min=16, help="From scratch: width. [default: 192]")
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="From scratch: blocks. [default: 12]")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="From scratch. [default: 3]")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Pixels a side. [default: what the weights know, or what suits the images]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images. [default: 50]")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="[default: 256]")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate. [default: 0.001]")] = None,
    device: Device = None,
    precision: Precision = None,
    group: Group = None,
    label_column: LabelColumn = None,
    image_column: Annotated[str | None, typer.Option(help="Column of the images. [default: image]")] = None,
    skip_bad: Annotated[
        bool | None, typer.Option("--skip-bad", help="Go on without images that cannot be used.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="One seed gives one result.")] = None,
) -> None:
    """A backbone from images alone: a masked autoencoder from scratch, or ExPLoRA on pretrained weights.

    `demur pretrain --data folder:photos --backbone folder:weights/vit --out weights/vit-photos` carries a
    pretrained backbone to your images: the last block and small adapters learn, .1 to 10 % of the weights.
    The result is named as any other backbone, for example `demur compare --backbone
    folder:weights/vit-photos`. Labels are not learned from. With --from-scratch, a backbone of your own:
    `demur pretrain --data folder:photos --backbone vit --from-scratch --out weights/own`.
    """
    from trainer.pretrain.config import load_pretrain_config
    from trainer.pretrain.run import pretrain as run_pretraining
    from trainer.run.console import RunConsole

    overrides = {
        "data.source": source,
        "data.group": group,
        "data.label_column": label_column,
        "data.image_column": image_column,
        "data.skip_bad": skip_bad,
        "backbone": backbone,
        "from_scratch": from_scratch,
        "rows": rows,
        "explora.rank": rank,
        "explora.blocks": blocks,
        "shape.patch_size": patch_size,
        "shape.hidden_size": hidden_size,
        "shape.layers": layers,
        "shape.heads": heads,
        "image_size": image_size,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "compute.device": device,
        "compute.precision": precision,
        "seed": seed,
    }
    run_pretraining(load_pretrain_config(config, overrides), out, RunConsole())
