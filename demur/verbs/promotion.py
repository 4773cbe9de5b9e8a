"""The verb `promotion`, with verbs that look at a promotion and decide about it."""

from __future__ import annotations

from typing import Annotated

import typer

from demur.verbs.options import AsJson, By, FleetEnvFile, FleetName, RegistryAddress, StoreUrl

promotion = typer.Typer(
    name="promotion",
    no_args_is_help=True,
    help="Look at the promotion of a fleet, approve it, or end it. `demur promote` begins one.",
)


@promotion.command()
def status(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until the promotion has ended, and say what changes.")
    ] = False,
    fleet: FleetName = None,
    registry: RegistryAddress = None,
    store: StoreUrl = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how far a promotion is: its phase, what it waits for and until when, and each gate so far.

    Example: `demur promotion status --watch`

    The exit code is 0 if it runs or is promoted, and 3 if it was rolled back.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.promotion_status import ROLLED_BACK, show_status

    place = fleet_place(FleetOptions(registry, store, fleet, env_file))
    if not show_status(place, watch=watch, as_json=as_json):
        raise typer.Exit(ROLLED_BACK)


@promotion.command()
def approve(
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the approval.")],
    by: By = None,
    fleet: FleetName = None,
    registry: RegistryAddress = None,
    store: StoreUrl = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Say yes to a promotion whose plan asks for it (`approve: required`); it goes on at once.

    Example: `demur promotion approve --comment "looked at 40 of its audits"`
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.private_port import user_or
    from demur.commands.promotion_status import approve_and_tell

    place = fleet_place(FleetOptions(registry, store, fleet, env_file))
    approve_and_tell(place, user_or(by, "--by"), comment, as_json=as_json)


@promotion.command()
def abort(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the registry.")],
    by: By = None,
    fleet: FleetName = None,
    registry: RegistryAddress = None,
    store: StoreUrl = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """End a promotion. The newcomer leaves the fleet, and the champion before it serves all units.

    Example: `demur promotion abort --reason "the wrong bundle"`

    It works whether or not its promoter lives; one that lives sees it within a second and ends.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.private_port import user_or
    from demur.commands.promotion_status import abort_and_tell

    place = fleet_place(FleetOptions(registry, store, fleet, env_file))
    abort_and_tell(place, user_or(by, "--by"), reason, as_json=as_json)
