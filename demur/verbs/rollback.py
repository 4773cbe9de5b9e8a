"""The verb `rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from demur.verbs.options import AsJson, By, FleetEnvFile, FleetName, RegistryAddress, StoreUrl


def rollback(
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; kept in the registry, and told in the history.")
    ] = "",
    by: By = None,
    fleet: FleetName = None,
    registry: RegistryAddress = None,
    store: StoreUrl = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Go back: every service of the fleet serves the champion before this one again.

    Example: `demur rollback --reason "too many complaints since noon"`

    While a promotion runs this ends it: its newcomer leaves, and the champion stays if it has not been
    replaced yet. No later rollback leads to the bundle that was left. It is one record in the registry, which
    the services that run adopt at once, under load in about a second; those of them that keep the old
    champion open need no load.

    The exit code is 0 once every service that reports serves it, 1 if one does not within half a minute (it
    adopts it later by itself), and 2 if there is nothing to go back to or the registry does not answer.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.private_port import user_or
    from demur.commands.rollback import roll_back_and_tell

    place = fleet_place(FleetOptions(registry, store, fleet, env_file))
    if not roll_back_and_tell(place, user_or(by, "--by"), reason, as_json=as_json):
        raise typer.Exit(1)
