"""Verbs that serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Production"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(serve)


def serve(
    bundle: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the bundle to serve.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes any free one. [default: 8000]")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port. [default: 1]")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the embedded Valkey keeps the rolling windows.")
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="A Redis or Valkey of your own; `off` for none. Also DEMUR_REDIS_URL.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve a bundle over HTTP: /predict, /feedback, /rolling, /health, /metrics.

    Every setting is also an environment variable, DEMUR_PORT and so on; options win.
    """
    from service.server import serve as serve_until_stopped
    from service.settings import Settings

    serve_until_stopped(
        Settings.read(
            bundle=bundle,
            host=host,
            port=port,
            workers=workers,
            data_dir=data_dir,
            redis_url=redis_url,
            log_level=log_level,
        )
    )
