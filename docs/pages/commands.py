"""The verbs of the command line, from their help texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click
import typer

from demur.cli import app

_PANEL = "Options"
"""Panel of an option that names none"""


def page() -> str:
    root = typer.main.get_command(app)
    parts = [
        "# Verbs",
        "",
        "The text of `demur VERB --help`, for every verb. Options of one verb may be given in any order.",
    ]
    for name, command in _verbs(root, "demur"):
        parts += ["", f"## {name}", "", *_verb(name, command)]
    return "\n".join(parts) + "\n"


def _verbs(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every verb with its full name; of a group its verbs."""
    below = getattr(command, "commands", None)
    if not below:
        yield name, command
        return
    for child, verb in below.items():
        yield from _verbs(verb, f"{name} {child}")


def _verb(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = [cleandoc(command.help or ""), "", "```", usage, "```"]
    panels: dict[str, list[str]] = {}
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            panel = getattr(parameter, "rich_help_panel", None)
            names, meaning = (_cell(text) for text in record)
            names = names.replace(" range>", ">")  # the meaning ends with the range
            panels.setdefault(panel or _kind(parameter), []).append(f"| `{names}` | {meaning} |")
    for panel, rows in panels.items():
        lines += ["", f"| {panel} | |", "|---|---|", *rows]
    return lines


def _kind(parameter: click.Parameter) -> str:
    return "Arguments" if parameter.param_type_name == "argument" else _PANEL


def _cell(text: str) -> str:
    """Text in a cell of a table; what stands in square brackets outside of code is no link."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("[", "\\[") for part in parts)
