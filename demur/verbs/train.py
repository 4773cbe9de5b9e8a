"""The verb `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import (
    IMAGES,
    SOURCES,
    TRAINING,
    Alpha,
    AsJson,
    Certificate,
    ConfiguredImageColumn,
    ConfiguredSeed,
    ConfiguredSkipBad,
    Delta,
    Device,
    DryRun,
    EachAnswer,
    Group,
    LabelColumn,
    MinCoverage,
    Precision,
    Prevalence,
    RunOut,
    Score,
    Slices,
    SplitSeed,
    SplitsFrom,
    require_out,
)
from trainer.choices import Adapt, AugmentLevel, CheckpointSelection, names

*LEVELS, LADDER = names(AugmentLevel)


def train(
    out: RunOut = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Configuration file; options on the command line override it. [default: none]",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the bundle. [default: demur]")] = None,
    seed: ConfiguredSeed = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE", help=f"Images: {SOURCES}. [default: scenes]", rich_help_panel=IMAGES
        ),
    ] = None,
    group: Group = None,
    split_seed: SplitSeed = None,
    label_column: LabelColumn = None,
    splits: SplitsFrom = None,
    image_column: ConfiguredImageColumn = None,
    skip_bad: ConfiguredSkipBad = None,
    alpha: Alpha = None,
    delta: Delta = None,
    min_coverage: MinCoverage = None,
    score: Score = None,
    certificate: Certificate = None,
    each_answer: EachAnswer = None,
    slices: Slices = None,
    prevalence: Prevalence = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Start of stage B: `auto` chooses by images, minutes and weights at hand; `none` is a "
            "network from random weights; or pretrained: `efficientnet-lite0` (extra `imagenet`), "
            "`folder:PATH` or `hub:OWNER/NAME`. [default: auto]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    adapt: Annotated[
        Adapt | None,
        typer.Option(
            help="Which weights of the backbone are trained. "
            "[default: lora for transformers, full for EfficientNets]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Planned minutes of training on two cores, both stages together. [default: 12]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    augment: Annotated[
        AugmentLevel | None,
        typer.Option(
            metavar="LEVEL",
            help="Augmentation of the training images, each level adding to the one before: "
            f"{', '.join(LEVELS)}; or {LADDER}, a mixture of four strengths. [default: degraded]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    checkpoint_selection: Annotated[
        CheckpointSelection | None,
        typer.Option(
            help="Criterion on val_select by which the best epoch is kept; augrc is the area under the "
            "generalised risk-coverage curve. [default: augrc]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    device: Device = None,
    precision: Precision = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train and certify a classifier on labelled images, and write its bundle.

    Example: `demur train --data folder:photos --group drive --out runs/first`

    A folder of images has one sub-folder per class, or a `metadata.csv` with the columns `file_name` and
    `label`.

    The run splits the images by group into train, val_select (chooses epochs and scores), val_calib
    (certifies) and val_test (reports). It trains a fast stage A and a strong stage B, certifies the cascade
    of both and packs the bundle. Before it trains it says what the split can prove; `--dry-run` stops there.

    All certificates on one calibration split share its delta. To try several settings, train each with
    `--certificate none`, and certify the one that you choose: `demur calibrate RUN --certificate exact`.
    """
    require_out(out, dry_run)
    from demur.commands.dry_run import report_plan
    from demur.commands.results import run_values
    from demur.commands.shares import parse_shares
    from demur.output import run_console, write_json
    from trainer.config import load_config
    from trainer.pipeline import plan
    from trainer.pipeline import train as run_training

    overrides = {
        "data.source": source,
        "data.group": group,
        "data.label_column": label_column,
        "data.splits": splits,
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
        "promise.prevalence": parse_shares(prevalence),
        "augment": augment,
        "checkpoint_selection": checkpoint_selection,
        "compute.device": device,
        "compute.precision": precision,
        "splits.seed": split_seed,
        "seed": seed,
    }
    configured = load_config(config, overrides)
    if out is None or dry_run:
        report_plan(lambda console: plan(configured, console), as_json=as_json)
        return
    console = run_console(as_json)
    finished = run_training(configured, out, console)
    if as_json:
        write_json(run_values(finished, out) | {"seconds": console.step_seconds})
