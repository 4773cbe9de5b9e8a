"""The verb `fleet`."""

from __future__ import annotations

from demur.verbs.options import AsJson, FleetEnvFile, FleetName, RegistryAddress, StoreUrl


def fleet(
    fleet: FleetName = None,
    registry: RegistryAddress = None,
    store: StoreUrl = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Show a fleet: its champion, the one before, challengers, and how far each service is.

    Example: `demur fleet --registry registry`

    A service is `behind` while it serves an earlier record than the newest, and `stale` while the registry
    does not answer it. `demur promotion status` says more of a promotion that runs, and `demur registry
    history` what served before.
    """
    from demur.commands.fleet import show_fleet
    from demur.commands.fleet_place import FleetOptions, fleet_place

    show_fleet(fleet_place(FleetOptions(registry, store, fleet, env_file)), as_json=as_json)
