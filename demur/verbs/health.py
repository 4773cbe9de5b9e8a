"""The verb `health`."""

from __future__ import annotations

from typing import Annotated

import typer


def health(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="Address of the service. [default: this machine, at DEMUR_PORT or 8000]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=600, help="Seconds within which the service must answer.")
    ] = 5.0,
) -> None:
    """Ask a service whether it is ready for requests, as the health check of a container does.

    Example: `demur health`, or `demur health http://camera-gateway:8000`

    Prints one line. The exit code is 0 if the service is ready, 1 if it is not or cannot be reached, and 2 if
    URL is none.
    """
    from demur.commands.health import look

    readiness = look(url, timeout)
    print(readiness.sentence)
    if not readiness.ready:
        raise typer.Exit(1)
