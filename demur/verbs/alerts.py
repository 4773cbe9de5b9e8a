"""The verb `alerts`, with verbs that check a file of rules, try its channels, and see to what fires."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from demur.verbs.options import AsJson, EnvFile, Url

RulesFile = Annotated[Path, typer.Argument(metavar="FILE", help="File of the rules, YAML.")]
Fingerprint = Annotated[
    str,
    typer.Argument(
        metavar="FINGERPRINT",
        help="Fingerprint of the alert, or its first four characters or more; `demur alerts list` shows it.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        help="Who does it; kept with the alert. [default: the user of the system]", show_default=False
    ),
]
Reason = Annotated[str, typer.Option(help="Why; kept with the alert.")]

alerts = typer.Typer(
    name="alerts",
    no_args_is_help=True,
    help="Check the rules of the alerts, try their channels, and see to what fires.\n\n"
    "A service evaluates the rules of DEMUR_ALERTS, or the built-in ones. `list`, `acknowledge`, `escalate`, "
    "`resolve`, `silence` and `unsilence` talk to its private port, with the token of DEMUR_ADMIN_TOKEN.",
)


@alerts.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it must not exist.")],
) -> None:
    """Write a commented example of a file of rules.

    Example: `demur alerts init alerts.yaml`
    """
    from demur.commands.alerts import EXAMPLE
    from demur.commands.init import write_new

    write_new(file, EXAMPLE)
    print(f"written: {file}")


@alerts.command()
def check(file: RulesFile, env_file: EnvFile = None, as_json: AsJson = False) -> None:
    """Say who is told of what and when, or name every fault of the file with its line.

    Example: `demur alerts check alerts.yaml`

    The variables that the file names as `${NAME}` must be set, as in the environment of the service, or stand
    in the file of `--env-file`.
    """
    from demur.commands.alerts import rules_lines, rules_of, rules_values
    from demur.output import write_json

    rules = rules_of(file, env_file)
    write_json(rules_values(rules)) if as_json else print("\n".join(rules_lines(rules)))


@alerts.command("test")
def try_alerts(
    file: RulesFile,
    channel: Annotated[
        str | None, typer.Argument(metavar="[CHANNEL]", help="This channel alone.", show_default=False)
    ] = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Send a test message to everybody in the file, and report what became of each.

    Example: `demur alerts test alerts.yaml mail`

    `delivered`: the receiver has it. `refused`: it certainly has not. `unknown`: no answer came in time.
    """
    from dataclasses import asdict

    from demur.commands.alerts import MessagesNotDelivered, rules_of, try_channels
    from demur.output import write_json

    tried = []
    for one in try_channels(rules_of(file, env_file), channel):
        tried.append(one)
        if not as_json:
            print(one.sentence(), flush=True)
    if as_json:
        write_json({"tried": [asdict(one) for one in tried]})
    missing = sum(one.outcome != "delivered" for one in tried)
    if missing:
        raise MessagesNotDelivered(f"{missing} of {len(tried)} test messages were not delivered")


@alerts.command("list")
def list_alerts(
    rules: Annotated[
        bool,
        typer.Option("--rules", help="The rules in plain words instead: of --file, or the built-in ones."),
    ] = False,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the rules, for --rules.", show_default=False)
    ] = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """List the alerts of a service, the open ones first, and the silences in force.

    Example: `demur alerts list --env-file serve.env`
    """
    from demur.commands.alerts import alert_lines, rules_lines, rules_of, rules_values
    from demur.commands.private_port import private_port
    from demur.output import write_json

    if rules or file is not None:
        found = rules_of(file, env_file)
        write_json(rules_values(found)) if as_json else print("\n".join(rules_lines(found)))
        return
    answer = private_port(url, env_file).get("/alerts")
    if as_json:
        write_json(answer)
        return
    print("\n".join(alert_lines(answer)))


@alerts.command()
def acknowledge(
    fingerprint: Fingerprint,
    reason: Reason,
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Say that somebody sees to an alert: nobody further on its ladder is told.

    Example: `demur alerts acknowledge 3f2a --reason "I look at the audits"`
    """
    _act("acknowledge", fingerprint, _who(name, reason), url, env_file, as_json)


@alerts.command()
def escalate(
    fingerprint: Fingerprint,
    reason: Reason,
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell the next one on the ladder of an alert at once.

    Example: `demur alerts escalate 3f2a --reason "it is the camera, not the model"`
    """
    _act("escalate", fingerprint, _who(name, reason), url, env_file, as_json)


@alerts.command()
def resolve(
    fingerprint: Fingerprint,
    reason: Reason,
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Say that an alert is over; if its condition still holds, it fires again after five minutes.

    Example: `demur alerts resolve 3f2a --reason "the machine was replaced"`
    """
    _act("resolve", fingerprint, _who(name, reason), url, env_file, as_json)


@alerts.command()
def silence(
    matchers: Annotated[
        list[str],
        typer.Argument(
            metavar="LABEL=PATTERN...",
            help="What is silenced: labels, `rule` or `fingerprint`; * stands for anything.",
        ),
    ],
    lasts: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, as 30m, 2h or 1d.")],
    reason: Reason,
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell nobody of some alerts for a while; what still fires at its end is told again.

    Example: `demur alerts silence rule=drift bundle=demur:* --for 2h --reason "the camera is moved"`
    """
    from demur.commands.alerts import matchers_of, silence_line
    from demur.commands.private_port import private_port
    from demur.output import write_json

    body = {"matchers": matchers_of(matchers), "lasts": lasts, **_who(name, reason)}
    made = private_port(url, env_file).send("POST", "/silences", body)
    write_json(made) if as_json else print(silence_line(made))


@alerts.command()
def unsilence(
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the silence.")],
    reason: Reason,
    name: Name = None,
    url: Url = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """End a silence; what still fires is told again.

    Example: `demur alerts unsilence 0c5d2c1f7a90 --reason "the camera stands"`
    """
    from urllib.parse import quote

    from demur.commands.alerts import silence_line
    from demur.commands.private_port import private_port
    from demur.output import write_json

    path = f"/silences/{quote(silence_id, safe='')}"
    ended = private_port(url, env_file).send("DELETE", path, _who(name, reason))
    write_json(ended) if as_json else print(silence_line(ended))


def _act(
    kind: str, fingerprint: str, who: dict[str, str], url: str | None, env_file: Path | None, as_json: bool
) -> None:
    from urllib.parse import quote

    from demur.commands.alerts import act_line
    from demur.commands.private_port import private_port
    from demur.output import write_json

    path = f"/alerts/{quote(fingerprint, safe='')}/{kind}"
    alert: dict[str, Any] = private_port(url, env_file).send("POST", path, who)
    write_json(alert) if as_json else print(act_line(alert))


def _who(name: str | None, reason: str) -> dict[str, str]:
    from demur.commands.private_port import user_or

    return {"name": user_or(name, "--name"), "reason": reason}
