"""Verbs of `experiment` that change or show the experiment of a running service, through its private port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from demur.verbs.experiment import experiment
from demur.verbs.options import AsJson, EnvFile, Url
from monitoring.choices import OnMismatch

__all__ = ["experiment"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.")]
Arm = Annotated[str, typer.Argument(metavar="ARM", help="Folder of its bundle, or its name:version.")]
By = Annotated[
    str | None,
    typer.Option(help="Who asks for it; kept with the change. [default: this user]", show_default=False),
]
Reason = Annotated[str, typer.Option(help="Why; kept with the change.")]


@experiment.command()
def start(
    name: Name,
    reason: Reason,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="BUNDLE=SHARE",
            help="A challenger, by its folder in the folder of bundles, and its share of the units, or "
            "`shadow`; again for each. Challengers that serve take part with the share that they have.",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="METRIC",
            help="Metric to compare: accuracy, risk, coverage, mcc, reward; again for each. [default: all]",
            show_default=False,
        ),
    ] = None,
    guardrails: Annotated[
        list[str] | None,
        typer.Option(
            "--guardrail",
            metavar="NAME=LIMIT",
            help="How much worse than the control a challenger may be before it leaves by itself, or `off`: "
            "coverage, risk, errors, latency; again for each. [default: coverage=0.1, risk=0.05, "
            "errors=0.02, latency=0.1]",
            show_default=False,
        ),
    ] = None,
    slow: Annotated[
        float | None,
        typer.Option(
            help="Seconds beyond which a request is slow, for the guardrail latency. [default: 0.5]",
            show_default=False,
        ),
    ] = None,
    on_mismatch: Annotated[
        OnMismatch,
        typer.Option(
            help="What follows if the arms do not get their shares of the units: `hold` (nothing is "
            "concluded) or `withdraw` (the control also gets all units)."
        ),
    ] = "hold",
    salt: Annotated[
        str | None,
        typer.Option(help="Salt of the dealing. [default: a random one]", show_default=False),
    ] = None,
    by: By = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Deal the units of a running service to its champion and to challengers.

    Example: `demur experiment start ramp-7 --arm august=0.05 --reason "two more months of labels"`

    The dealing is frozen: while the experiment runs, no unit moves from one challenger to another.
    """
    from demur.commands.experiment_service import CHANGE, NewExperiment, start
    from demur.commands.private_port import private_port, user_or

    asked = NewExperiment(
        *(name, user_or(by, "--by"), reason, arms or [], metrics or [], guardrails or []),
        *(slow, on_mismatch, salt),
    )
    _print(start(private_port(url, env_file, timeout=CHANGE), asked), as_json)


@experiment.command()
def status(url: Url = None, env_file: EnvFile = None, as_json: AsJson = False) -> None:
    """Show the experiment of a running service: arms, units, guardrails, and who has left and why.

    Example: `demur experiment status`
    """
    from demur.commands.experiment_service import experiments, status_lines
    from demur.commands.private_port import private_port
    from demur.output import printable, write_json

    found = experiments(private_port(url, env_file))
    if as_json:
        write_json({"experiments": found})
        return
    for line in status_lines(found):
        print(printable(line))


@experiment.command()
def share(
    name: Name,
    arm: Arm,
    share: Annotated[str, typer.Argument(metavar="SHARE", help="Share of the units, or `shadow`.")],
    reason: Reason,
    by: By = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Change the share of an arm; units move between it and the control alone, and a stratum begins.

    Example: `demur experiment share ramp-7 august 0.2 --reason "no harm at 5 %"`
    """
    from demur.commands.experiment_service import CHANGE, change, share_of
    from demur.commands.private_port import private_port, user_or

    body = {"arm": arm, "share": share_of(share), "by": user_or(by, "--by"), "reason": reason}
    _print(change(private_port(url, env_file, timeout=CHANGE), name, "share", body), as_json)


@experiment.command()
def withdraw(
    name: Name,
    arm: Arm,
    reason: Reason,
    by: By = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw an arm; the control gets its units back.

    Example: `demur experiment withdraw ramp-7 august --reason "a wrong label set"`
    """
    from demur.commands.experiment_service import CHANGE, change
    from demur.commands.private_port import private_port, user_or

    body = {"arm": arm, "by": user_or(by, "--by"), "reason": reason}
    _print(change(private_port(url, env_file, timeout=CHANGE), name, "withdraw", body), as_json)


@experiment.command()
def stop(
    name: Name,
    reason: Reason,
    by: By = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop an experiment. Its challengers stay, with their shares; its report can be read at any time.

    Example: `demur experiment stop ramp-7 --reason "august is better"`
    """
    from demur.commands.experiment_service import CHANGE, change
    from demur.commands.private_port import private_port, user_or

    body = {"by": user_or(by, "--by"), "reason": reason}
    _print(change(private_port(url, env_file, timeout=CHANGE), name, "stop", body), as_json)


def _print(found: Mapping[str, Any], as_json: bool) -> None:
    from demur.commands.experiment_service import experiment_lines
    from demur.output import printable, write_json

    if as_json:
        write_json(dict(found))
        return
    for line in experiment_lines(found):
        print(printable(line))
