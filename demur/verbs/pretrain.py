"""The verb `pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from demur.verbs.options import (
    IMAGES,
    SOURCES,
    TRAINING,
    AsJson,
    ConfiguredImageColumn,
    ConfiguredSeed,
    ConfiguredSkipBad,
    Device,
    Group,
    LabelColumn,
    Precision,
    SplitSeed,
)
from trainer.choices import PretrainRows, TransformerFamily, names

EXPLORA: Final = "ExPLoRA (pretrained weights)"
SCRATCH: Final = "With --from-scratch"


def pretrain(
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of the backbone; the same folder resumes the pretraining."),
    ],
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Pretrained backbone to continue from: `folder:PATH` or `hub:OWNER/NAME`; with "
            f"--from-scratch an architecture out of {', '.join(names(TransformerFamily))}. "
            "[required, here or in --config]",
        ),
    ] = None,
    from_scratch: Annotated[
        bool | None,
        typer.Option(
            "--from-scratch",
            help="Start from random weights and train all of them. [default: ExPLoRA on pretrained weights]",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Configuration file; options on the command line override it. [default: none]",
        ),
    ] = None,
    seed: ConfiguredSeed = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SOURCE",
            help=f"Images: {SOURCES}. [required, here or in --config]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    rows: Annotated[
        PretrainRows | None,
        typer.Option(
            help="`train`: the training split that `demur train` makes of the same data, group and split "
            "seed, so that no image of a certificate or test is seen; `all`: every image; `auto`: train if "
            "there are labels, else all. [default: auto]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    group: Group = None,
    split_seed: SplitSeed = None,
    label_column: LabelColumn = None,
    image_column: ConfiguredImageColumn = None,
    skip_bad: ConfiguredSkipBad = None,
    rank: Annotated[
        int | None,
        typer.Option(min=1, help="Rank of LoRA on queries and values. [default: 8]", rich_help_panel=EXPLORA),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of last blocks that are trained in full. [default: 1]",
            rich_help_panel=EXPLORA,
        ),
    ] = None,
    patch_size: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="PIXELS",
            help="Height and width of a patch. [default: 16, or an eighth of images below 128 pixels]",
            rich_help_panel=SCRATCH,
        ),
    ] = None,
    hidden_size: Annotated[
        int | None, typer.Option(min=16, help="Width of the network. [default: 192]", rich_help_panel=SCRATCH)
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Number of blocks. [default: 12]", rich_help_panel=SCRATCH)
    ] = None,
    heads: Annotated[
        int | None,
        typer.Option(min=1, help="Attention heads per block. [default: 3]", rich_help_panel=SCRATCH),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Height and width of the input. [default: as the weights were trained; from scratch, what "
            "suits the images]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the images. [default: 50]", rich_help_panel=TRAINING),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Images per step. [default: 256]", rich_help_panel=TRAINING)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate. [default: 0.001]", rich_help_panel=TRAINING)
    ] = None,
    device: Device = None,
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Pretrain a backbone on images alone: ExPLoRA on pretrained weights, or a masked autoencoder.

    Example: `demur pretrain --data folder:photos --backbone folder:weights/vit --out weights/vit-photos`

    ExPLoRA adapts a pretrained backbone to your images: the last block and small adapters are trained,
    0.1 to 10 % of the weights. Labels are not used. The result is a backbone like any other:
    `demur train --backbone folder:weights/vit-photos`.

    From scratch: `demur pretrain --data folder:photos --backbone vit --from-scratch --out weights/own`
    """
    from demur.commands.pretrain import pretrain_backbone
    from trainer.pretrain.config import load_pretrain_config

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
        "splits.seed": split_seed,
        "seed": seed,
    }
    pretrain_backbone(load_pretrain_config(config, overrides), out, as_json=as_json)
