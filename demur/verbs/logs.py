"""The verb `logs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import DataDir
from service.choices import LogLevel


def logs(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="File of JSON lines, shown with the older ones beside it; - reads standard input. [default: "
            "DEMUR_LOG_FILE, or service.jsonl in the data folder]",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines", "-n", min=0, help="The last N chosen lines alone. [default: all]", show_default=False
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with each new line, until Ctrl-C.")
    ] = False,
    level: Annotated[
        LogLevel | None,
        typer.Option(help="Least severe level that is shown. [default: all]", show_default=False),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Lines of this event, such as request. [default: all]", show_default=False
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Lines of this request, or of this image of a batch. [default: all]",
            show_default=False,
        ),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:VERSION]", help="Lines that name this bundle. [default: all]", show_default=False
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Requests with this X-Unit-Id. [default: all]", show_default=False),
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Lines of this trace, by its 32 digits. [default: all]", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Lines since then: a duration before now such as 90s, 10m, 2h or 1d, or ISO 8601 such as "
            "2026-03-01T12:00, in UTC without a zone. [default: all]",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    env_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The settings of the service, as in `demur serve`. [default: none]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the chosen lines as they are in the log.")
    ] = False,
) -> None:
    """Show the log of a service, a short line for each of its JSON lines, in colour on a terminal.

    Example: `demur logs --level warning --since 10m`, or `demur logs -f --unit camera-7`

    All conditions must hold. Lines that are no JSON, such as those of another program in the same stream, are
    shown as they are, unless a condition asks for what only JSON lines say.
    """
    import os

    from demur.commands.logs import LogChoice, show
    from demur.commands.logs import since as time_of
    from demur.commands.logs_files import batches_of
    from service.environment import with_env_file
    from service.settings import Settings

    environment = dict(os.environ) if env_file is None else with_env_file(os.environ, env_file)
    settings = Settings.read(environment, bundle=Path(), data_dir=data_dir, log_format="text")
    choice = LogChoice(level, event, request_id, bundle, unit, trace, time_of(since))
    batches = batches_of(file or settings.log_options().file or Path("-"), follow=follow)
    show(batches, choice, lines=lines, as_json=as_json)
