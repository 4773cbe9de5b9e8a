"""The verb `wrap`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from bundle.choices import OutputKind, ResizeMode
from demur.verbs.options import (
    Alpha,
    AsJson,
    Certificate,
    Delta,
    DryRun,
    EachAnswer,
    Group,
    ImageColumn,
    LabelColumn,
    MinCoverage,
    Prevalence,
    RunOut,
    Seed,
    SkipBad,
    Slices,
    Source,
    SplitsFrom,
    require_out,
)
from trainer.choices import Normalisation, names

MODEL: Final = "Model"
*KINDS, LAST_KIND = names(OutputKind)


def wrap(
    model: Annotated[
        Path,
        typer.Option(
            metavar="FILE.onnx", help="The classifier: stage B of the bundle.", rich_help_panel=MODEL
        ),
    ],
    source: Source,
    out: RunOut = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "wrapped",
    seed: Seed = 0,
    fast: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx",
            help="A cheaper classifier that is tried first: stage A. [default: none]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the classes in the order of the model's outputs: `no,yes`. [default: as in the "
            "data]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    normalisation: Annotated[
        Normalisation | None,
        typer.Option(
            help="Normalisation of the pixels that the model expects. [default: the one that fits best on "
            "val_select]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    resize: Annotated[
        ResizeMode,
        typer.Option(
            help="How an image is brought to the model's input size: stretched to it, or scaled and cropped.",
            rich_help_panel=MODEL,
        ),
    ] = "stretch",
    output: Annotated[
        OutputKind | None,
        typer.Option(
            metavar="KIND",
            help=f"Meaning of the model's output: {', '.join(KINDS)} or {LAST_KIND}. [default: detected]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    output_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Output that tells the classes apart, if the model has several. [default: `logits`, or the "
            "only one]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=8,
            metavar="PIXELS",
            help="Height and width of the model's input. [default: as the model states]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    group: Group = None,
    label_column: LabelColumn = None,
    splits: SplitsFrom = None,
    image_column: ImageColumn = "image",
    skip_bad: SkipBad = False,
    alpha: Alpha = None,
    delta: Delta = None,
    min_coverage: MinCoverage = None,
    certificate: Certificate = None,
    each_answer: EachAnswer = None,
    slices: Slices = None,
    prevalence: Prevalence = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Certify an existing ONNX classifier on labelled images, and write its bundle; no training.

    Example: `demur wrap --model strong.onnx --fast small.onnx --data folder:labelled --out runs/wrapped`

    The model must never have seen these images in its training. torch is not needed.
    """
    require_out(out, dry_run)
    from bundle.engines.external_data import read_model
    from demur.commands.dry_run import report_plan
    from demur.commands.results import run_values
    from demur.commands.shares import parse_shares
    from demur.output import run_console, write_json
    from trainer.bundling.model_outputs import output_names
    from trainer.bundling.wrap import WrapConfig, plan_wrap
    from trainer.bundling.wrap import wrap as wrap_models
    from trainer.bundling.wrapped_model import ModelInput
    from trainer.data.config import DataConfig
    from trainer.run.promise import PromiseConfig
    from trainer.scenes import SceneOptions

    data = DataConfig(
        source=source,
        group=group,
        label_column=label_column,
        splits=splits or "drawn",
        image_column=image_column,
        class_names=tuple(part.strip() for part in class_names.split(",")) if class_names else (),
        skip_bad=skip_bad,
        scenes=SceneOptions(),
    )
    promise = {
        "alpha": alpha,
        "delta": delta,
        "min_coverage": min_coverage,
        "certificate": certificate,
        "each_answer": each_answer,
        "slices": slices,
        "prevalence": parse_shares(prevalence),
        "seed": seed,
    }
    size = None if image_size is None else (image_size, image_size)
    strong = ModelInput(model, size, output, normalisation, resize, output_name)
    named_too = fast is not None and output_name in output_names(read_model(fast))
    first = replace(strong, model=fast, output_name=output_name if named_too else None) if fast else None
    config = WrapConfig(strong, first, PromiseConfig().changed(promise), name, seed)
    if out is None or dry_run:
        report_plan(lambda console: plan_wrap(config, data, console), as_json=as_json)
        return
    finished = wrap_models(config, data, out, run_console(as_json))
    if as_json:
        write_json(run_values(finished, out))
