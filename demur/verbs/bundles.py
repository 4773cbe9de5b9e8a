"""Verbs about finished bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from demur.verbs.options import (
    AsJson,
    Bundle,
    EngineName,
    EnginePrecision,
    Group,
    ImageColumn,
    LabelColumn,
    Run,
    Source,
)

PANEL = "Bundles"
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a bundle.")]


def register(app: typer.Typer) -> None:
    for verb in (bundle, inspect, verify, predict):
        app.command(rich_help_panel=PANEL)(verb)


def bundle(
    run: Run,
    precision: Annotated[
        str, typer.Option(help="Of fp32, int8 and bf16 (OpenVINO only); separated by commas.")
    ] = "fp32",
    engine: Annotated[
        str, typer.Option(help="Of onnxruntime-cpu, onnxruntime-cuda, openvino; separated by commas.")
    ] = "onnxruntime-cpu",
    certificate: Annotated[
        Literal["exact", "scrc-i", "scrc-t"] | None,
        typer.Option(help="How the promises are proven. [default: as the run was]"),
    ] = None,
    reissue: Annotated[
        bool, typer.Option("--reissue", help="Withdraw what was proven of the run, and prove all of it anew.")
    ] = False,
    carry_calibration: Annotated[
        bool,
        typer.Option(
            "--with-calibration-images",
            help="Put the calibration images into the bundle, so that a machine with another engine can "
            "certify it for itself, once; delta is divided among one more.",
        ),
    ] = False,
    least_agreement: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of val_select that must get the label that fp32 gives it."),
    ] = 0.98,
    source: Annotated[
        str | None,
        typer.Option("--data", metavar="SOURCE", help="The run's images. [default: where they were]"),
    ] = None,
    group: Group = None,
    label_column: LabelColumn = None,
    image_column: Annotated[str | None, typer.Option(help="Column of the images, in parquet.")] = None,
) -> None:
    """Certify a finished run on further engines and precisions, and write its bundle again.

    `demur bundle runs/first --engine onnxruntime-cpu,openvino --precision fp32,int8,bf16 --reissue`.

    Every engine at every precision that it computes at gets scores and a certificate of its own. All of
    them share the run's delta, so each is proven at a part of it and answers a little less; the price is
    told. A run that has its certificate has spent its delta: train with `--certificate none` and prove
    here with `--certificate exact`, or withdraw with `--reissue`. The service then takes the fastest of
    those that it can have. ONNX Runtime at fp32 is always among them.
    """
    from demur.family import tell_family, wanted_keys
    from trainer.bundling.engines import certify_family
    from trainer.run.console import RunConsole
    from trainer.run.folder import RunFolder

    console = RunConsole()
    data = {"spec": source, "group": group, "label_column": label_column, "image_column": image_column}
    family = certify_family(
        RunFolder(run),
        wanted_keys(engine, precision),
        console,
        data=data,
        changes={"certificate": certificate},
        least_agreement=least_agreement,
        reissue=reissue,
        carry_calibration=carry_calibration,
    )
    console.heading("Result")
    for line in tell_family(family, RunFolder(run).bundle):
        console.note(line)


def inspect(folder: Folder, as_json: AsJson = False) -> None:
    """What a bundle promises, how it decides and where it came from."""
    from rich.console import Console

    from bundle.inspect import inspect_bundle, render_bundle
    from bundle.store import verify_bundle

    if as_json:
        import orjson

        sys.stdout.buffer.write(orjson.dumps(inspect_bundle(folder), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        render_bundle(verify_bundle(folder), Console())


def verify(folder: Folder, engine: EngineName = None, precision: EnginePrecision = None) -> None:
    """Check every byte against its digest, load the models and decide the golden cases again.

    On every engine and precision that the bundle is certified on and that this machine has, unless one
    is named.
    """
    from bundle.selection.choice import AUTO, EngineWish
    from demur.verification import verify_everywhere

    for line in verify_everywhere(folder, EngineWish(engine or AUTO, precision or AUTO)):
        typer.echo(line)


def predict(
    bundle: Bundle,
    source: Source,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A row an image: .parquet, .csv or .jsonl.")],
    engine: EngineName = None,
    precision: EnginePrecision = None,
    label_column: LabelColumn = None,
    image_column: ImageColumn = "image",
) -> None:
    """Decide many images offline, exactly as the service would.

    Example: `demur predict --bundle runs/first/bundle --data folder:new --out decisions.parquet`.
    """
    from bundle.selection.choice import AUTO, EngineWish
    from demur.predict import predict_source
    from trainer.data.source import open_source
    from trainer.run.console import RunConsole

    console = RunConsole()
    images = open_source(source, label_column=label_column, image_column=image_column)
    wish = EngineWish(engine or AUTO, precision or AUTO)
    console.note(predict_source(bundle, images, out, wish=wish, console=console).sentence())
    console.note(f"decisions: {out}")
