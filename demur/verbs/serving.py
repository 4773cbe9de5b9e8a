"""Verbs that serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import Bundle, EngineName, EnginePrecision, ImageColumn

PANEL = "Production"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(serve)
    app.command(rich_help_panel=PANEL)(profile)


def serve(
    bundle: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the bundle to serve.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes any free one. [default: 8000]")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port. [default: 1]")] = None,
    engine: EngineName = None,
    precision: EnginePrecision = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="auto|N", help="Images that a stage computes together. [default: auto]"),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the event log and the embedded Valkey keep their data."),
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="A Redis or Valkey of your own; `off` for none. Also DEMUR_REDIS_URL.")
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(
            help="Private port for bundles and challengers; needs a token in DEMUR_ADMIN_TOKEN. "
            "[default: none]"
        ),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve a bundle over HTTP: /predict, /feedback, /rolling, /health, /metrics.

    Engine, precision and batch sizes are the fastest of those that the bundle is certified on; the first
    start of a bundle on a machine times them, for about three seconds, and remembers in the data folder.
    Every setting is also an environment variable, DEMUR_PORT and so on; options win.
    """
    from service.process.server import serve as serve_until_stopped
    from service.settings import Settings

    serve_until_stopped(
        Settings.read(
            bundle=bundle,
            host=host,
            port=port,
            workers=workers,
            engine=engine,
            precision=precision,
            batch=batch,
            data_dir=data_dir,
            redis_url=redis_url,
            admin_port=admin_port,
            log_level=log_level,
        )
    )


def profile(
    bundle: Bundle,
    source: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SOURCE",
            help="Images to measure with: `scenes`, `parquet:PATH`, `folder:PATH` or `hub:OWNER/NAME`. "
            "[default: the bundle's golden cases]",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for profile.json, profile.csv and profile.png.")
    ] = Path("profile"),
    seconds: Annotated[float, typer.Option(min=3, help="How long to measure, about.")] = 60.0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Workers and plain loops. [default: one a core]")
    ] = None,
    engine: EngineName = None,
    precision: EnginePrecision = None,
    image_column: ImageColumn = "image",
) -> None:
    """How fast a bundle is on this machine: by step, over HTTP, and against the hardware's limit.

    Plain loops and the real service run in turn, six times each; figures are medians with their range.
    """
    from bundle.selection.choice import AUTO, EngineWish
    from demur.profile.report import profile_tables, summary, write_profile
    from demur.profile.run import profile_bundle
    from trainer.run.console import RunConsole

    console = RunConsole()
    images = None
    if source is not None:
        from trainer.data.source import open_source
        from trainer.scenes import SceneOptions

        images = open_source(source, image_column=image_column, scenes=SceneOptions(sequences=256))
    measured = profile_bundle(
        bundle,
        images,
        seconds=seconds,
        processes=processes,
        wish=EngineWish(engine or AUTO, precision or AUTO),
        console=console,
    )
    console.console.print(profile_tables(measured))
    for sentence in summary(measured):
        console.note(sentence)
    for warning in measured.warnings:
        console.warn(warning)
    for written in write_profile(measured, out):
        console.note(f"written: {written}")
