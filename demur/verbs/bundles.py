"""Verbs about finished bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson, Bundle, ImageColumn, LabelColumn, Source

PANEL = "Bundles"
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a bundle.")]


def register(app: typer.Typer) -> None:
    for verb in (inspect, verify, predict):
        app.command(rich_help_panel=PANEL)(verb)


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


def verify(folder: Folder) -> None:
    """Check every byte against its digest, load the models and decide the golden cases again."""
    from bundle.store import load_bundle

    manifest = load_bundle(folder).manifest
    typer.echo(
        f"{manifest.name} {manifest.version}: {len(manifest.files)} files are as they were written, "
        f"{len(manifest.golden)} golden cases hold."
    )


def predict(
    bundle: Bundle,
    source: Source,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A row an image: .parquet, .csv or .jsonl.")],
    label_column: LabelColumn = None,
    image_column: ImageColumn = "image",
) -> None:
    """Decide many images offline, exactly as the service would.

    Example: `demur predict --bundle runs/first/bundle --data folder:new --out decisions.parquet`.
    """
    from demur.predict import predict_source
    from trainer.data.source import open_source
    from trainer.progress import RunConsole

    console = RunConsole()
    images = open_source(source, label_column=label_column, image_column=image_column)
    console.note(predict_source(bundle, images, out, console=console).sentence())
    console.note(f"decisions: {out}")
