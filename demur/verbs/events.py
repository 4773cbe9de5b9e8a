"""The verb `events`, with verbs that show, export and replay the event log of a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from demur.choices import ROW_CHOICES
from demur.verbs.options import AsJson, DataDir, Model

if TYPE_CHECKING:
    from service.settings import Settings

EnvFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The settings of the service, as in `demur serve`.", show_default=False
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="ISO 8601, such as 2026-03-01 or 2026-03-01T12:00; without a zone UTC."
    ),
]

events = typer.Typer(
    name="events",
    no_args_is_help=True,
    help="Show, export and replay the events of a service: every prediction and every label.\n\n"
    "A service writes them to `DIR/events/MODEL` and computes its rolling windows from them. These verbs "
    "read the same files, also while it runs, and change nothing in them.",
)


@events.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Number of events shown first.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with each new event, until Ctrl-C.")
    ] = False,
    bundle: Annotated[
        str | None,
        typer.Option(metavar="NAME:VERSION", help="Predictions of this bundle alone.", show_default=False),
    ] = None,
    only: Annotated[
        Literal["predictions", "labels"] | None,
        typer.Option(help="One kind of event alone.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    model: Model = None,
    env_file: EnvFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as it is in the log, one JSON object per line.")
    ] = False,
) -> None:
    """Print the latest events of all workers, a line for each.

    Example: `demur events tail -f --only labels`
    """
    from demur.commands.events_tail import tail as print_tail

    kinds = {"predictions": "prediction", "labels": "feedback"}
    print_tail(
        _settings(data_dir, model, None, env_file),
        lines=lines,
        follow=follow,
        bundle=bundle,
        kind=None if only is None else kinds[only],
        as_json=as_json,
    )


@events.command()
def export(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Table to write: .parquet, .csv or .jsonl.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(ROW_CHOICES),
            help="Predictions that are so; may be given several times.",
            show_default=False,
        ),
    ] = None,
    least_confident: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="The N predictions of the least confidence alone, the least confident first.",
            show_default=False,
        ),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(metavar="NAME:VERSION", help="Predictions of this bundle alone.", show_default=False),
    ] = None,
    since: Time = None,
    until: Time = None,
    data_dir: DataDir = None,
    model: Model = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a table with one row per prediction and the label that holds, if there is one.

    Example: `demur events export --out march.parquet --since 2026-03-01 --until 2026-04-01`

    For analysis: `wrong` says whether the label of an image that is forced to an answer is the true one. For
    active learning: `demur events export --only unlabelled --least-confident 500 --out next.csv` names the
    images whose labels would teach most. No image is in the log, so keep them under their request ids.
    """
    from demur.commands.events_export import ExportChoice, row_choices
    from demur.commands.events_export import export as write_export
    from demur.commands.times import unix_time

    choice = ExportChoice(
        only=row_choices(only or ()),
        bundle=bundle,
        since=unix_time("since", since, default=float("-inf")),
        until=unix_time("until", until, default=float("inf")),
        least_confident=least_confident,
    )
    write_export(_settings(data_dir, model, None, env_file), out, choice, as_json=as_json)


@events.command()
def replay(
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis or Valkey server that gets the events: redis://HOST:PORT/DB or unix:///SOCKET. "
            "[default: with --check a temporary one]",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Count every figure again from the events, and fail if one differs in the store."
        ),
    ] = False,
    windows: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES",
            help="Sizes of the windows, separated by commas. [default: DEMUR_WINDOWS, or 10,100]",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    model: Model = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Enter all events into a store, and with --check count its windows again.

    Example: `demur events replay --check`

    The windows of a store are a function of the events: entering an event twice changes nothing, so the store
    of a service may be named too, if nothing else than this log writes to it and the service stands still.
    What the log does not hold any more is in no recount. Times and sizes are those of the settings
    (`DEMUR_WINDOWS`, `DEMUR_PREDICTION_TTL`, ...), so use the environment or the --env-file of the service.
    """
    from demur.commands.events_replay import replay as replay_events

    replay_events(_settings(data_dir, model, windows, env_file), store, check=check, as_json=as_json)


def _settings(
    data_dir: Path | None, model: str | None, windows: str | None, env_file: Path | None
) -> Settings:
    """The settings of the service whose events are read; its bundle is of no use here."""
    import os

    from service.environment import with_env_file
    from service.settings import Settings

    environment = dict(os.environ) if env_file is None else with_env_file(os.environ, env_file)
    return Settings.read(environment, bundle=Path(), data_dir=data_dir, model=model, windows=windows)
