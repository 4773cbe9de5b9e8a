"""The verb `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import EngineOption, EnginePrecision
from service.choices import LOG_FORMATS, LOG_LEVELS, LOG_STREAMS


def serve(
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the bundle. [required, here or as DEMUR_BUNDLE, unless --registry is given]",
            show_default=False,
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Registry that says what serves, instead of --bundle: a folder, file:///FOLDER or "
            "s3://BUCKET/PREFIX. The service changes with its fleet. [default: none]",
        ),
    ] = None,
    follow: Annotated[
        str | None,
        typer.Option(
            metavar="[FLEET/]champion",
            help="What is followed in the registry; the fleet may be left out if there is one. [default: "
            "champion]",
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 8000]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of worker processes that share the port. [default: 1]")
    ] = None,
    engine: EngineOption = None,
    precision: EnginePrecision = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N", help="Largest number of images per batch of a stage. [default: auto, timed]"
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the event log, the embedded Valkey and the engine timings. [default: demur-data]",
        ),
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis or Valkey server for the rolling windows; `off` for none. [default: an embedded "
            "Valkey]",
        ),
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(
            help="Private port for changing bundles and challengers; needs a token in DEMUR_ADMIN_TOKEN. "
            "[default: none]"
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="Least severe level that is logged: "
            f"{', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}. [default: info]",
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help=f"Form of the log, {', '.join(LOG_FORMATS[:-1])} or {LOG_FORMATS[-1]}: JSON lines on "
            "the log's stream, or warnings and errors as text there and the JSON lines in service.jsonl of "
            "the data folder. [default: auto, text on a terminal]",
        ),
    ] = None,
    log_stream: Annotated[
        str | None,
        typer.Option(
            metavar="STREAM",
            help=f"Stream of the log, {LOG_STREAMS[0]} or {LOG_STREAMS[1]}. [default: {LOG_STREAMS[0]}]",
        ),
    ] = None,
    log_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of the JSON lines instead; DEMUR_LOG_BYTES bounds its size and DEMUR_LOG_FILES the "
            "number of files. `demur logs` shows it. [default: none beside JSON lines on the stream]",
        ),
    ] = None,
    alerts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of the alert rules, as `demur alerts init` writes it. [default: the built-in rules, "
            "of which nobody is told]",
        ),
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of lines NAME=VALUE, as `demur init --serve` writes it; options and variables that "
            "are set override it. [default: none]",
        ),
    ] = None,
) -> None:
    """Serve a bundle over HTTP: /predict, /feedback, /rolling, /health, /metrics.

    Example: `demur serve --bundle runs/first/bundle --workers 2`

    Example: `demur serve --registry s3://models/demur --follow roads/champion --data-dir data`

    The service takes the fastest engine, precision and batch sizes that the bundle is certified on. The
    first start of a bundle on a machine times them, for about three seconds, and keeps the result in the
    data folder. Every setting is also an environment variable (DEMUR_PORT, ...); options override it.

    With --registry it serves the champion of a fleet, pulled and verified, and changes when the fleet's
    record in the registry does; `demur promote` and `demur rollback` change that for all services at once.

    On a terminal it says where it listens, what it promises and how to try it.
    """
    import os

    # Read when NumPy is loaded: a comparison of drift must not take every core from the requests.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from demur.commands.serve import serve_until_stopped
    from service.environment import with_env_file
    from service.settings import Settings

    if env_file is not None:
        # The workers inherit them, and whatever else a runtime reads (OMP_NUM_THREADS).
        os.environ.update(with_env_file(os.environ, env_file))
    if bundle is not None and registry is not None:
        raise typer.BadParameter(
            "--bundle and --registry are both given; the registry says which bundle serves, so leave one out"
        )
    serve_until_stopped(
        Settings.read(
            bundle=bundle,
            registry=registry,
            follow=follow,
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
            log_format=log_format,
            log_stream=log_stream,
            log_file=log_file,
            alerts=alerts,
        )
    )
