"""The verb `doctor`."""

from __future__ import annotations

import typer

from demur.verbs.options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Examine this installation: versions, engines, machine, weights, hub, store, folders, variables.

    Example: `demur doctor`

    Says what is missing and how to get it, within half a minute. The exit code is 0 if demur works here,
    and 1 if something is broken that everything needs or that a variable asks for.
    """
    from demur.commands.doctor import examine_installation

    if not examine_installation(as_json=as_json):
        raise typer.Exit(1)
