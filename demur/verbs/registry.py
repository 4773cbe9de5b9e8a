"""The verb `registry`: bundles and fleets in a registry, with a verb for each thing to do there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson, By, FleetEnvFile, FleetName, RegistryAddress, StoreUrl
from demur.verbs.verify import KeysOption

registry = typer.Typer(
    name="registry",
    no_args_is_help=True,
    help="Push, pull and list bundles in a registry, and show what its fleets have served.\n\n"
    "A registry is a folder, or a place in an object store (`s3://BUCKET/PREFIX`). It holds bundles by the "
    "digest of their content, and for each fleet one record per change of what serves. `demur promote` and "
    "`demur rollback` make such changes; nothing here does.",
)

Named = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A bundle of the registry: `name:version` or its beginning, a version, a digest or its first 8 "
        "digits, an alias (champion, previous, challenger-NAME), or FLEET/ALIAS.",
    ),
]


@registry.command()
def push(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    key: KeysOption = [],  # noqa: B006 - typer reads the default and never changes it
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Write each file of a bundle anew that is there and damaged; its digest stays."
        ),
    ] = False,
    by: By = None,
    registry: RegistryAddress = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle and put it into the registry. Nothing serves it yet: `demur promote` does that.

    Example: `demur registry push runs/first/bundle --registry s3://models/roadwork`

    It is there as a whole or not at all, under the digest of its content, and never changes. A second push of
    the same bundle adds its signature (`demur sign`) if that is new. The first push makes the place a
    registry.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.private_port import user_or
    from demur.commands.registry import push_and_tell

    place = fleet_place(FleetOptions(registry, env_file=env_file))
    push_and_tell(place.registry, bundle, user_or(by, "--by"), key, repair=repair, as_json=as_json)


@registry.command()
def pull(
    name: Named,
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder; the bundle comes to DIR/DIGEST.")
    ] = Path("bundles"),
    key: KeysOption = [],  # noqa: B006 - as above
    fleet: FleetName = None,
    registry: RegistryAddress = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Put a bundle of the registry into a folder, verified, as a whole or not at all.

    Example: `demur registry pull champion --into bundles`

    The last line is the folder, as `demur serve --bundle` takes it. A copy that is there already is verified,
    and replaced if it was changed.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.registry import pull_and_tell

    place = fleet_place(FleetOptions(registry, fleet=fleet, env_file=env_file))
    pull_and_tell(place, name, into, key, as_json=as_json)


@registry.command(name="list")
def list_bundles(
    registry: RegistryAddress = None, env_file: FleetEnvFile = None, as_json: AsJson = False
) -> None:
    """List every bundle in the registry, and the aliases that point at it.

    Example: `demur registry list --registry s3://models/roadwork`

    Also listed: what a push that was broken off has left, and records that this version cannot read.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.registry import list_and_tell

    list_and_tell(fleet_place(FleetOptions(registry, env_file=env_file)).registry, as_json=as_json)


@registry.command()
def history(
    fleet: Annotated[
        str | None,
        typer.Argument(
            metavar="[FLEET]",
            help="The fleet. [default: of DEMUR_FOLLOW, or the only one in the registry]",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="What served at this moment: a date or a time, in UTC if it names no zone.",
            show_default=False,
        ),
    ] = None,
    registry: RegistryAddress = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what each alias of a fleet pointed at, since when, who changed it and why, from which promotion,
    and where its report is.

    Example: `demur registry history --at 2026-03-03T14:00`

    Every change is a record that is written once; times are those of the machines that changed it.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.registry_history import history_and_tell
    from demur.commands.times import unix_time

    moment = None if at is None else unix_time("--at", at, default=0.0)
    place = fleet_place(FleetOptions(registry, fleet=fleet, env_file=env_file))
    history_and_tell(place.registry, place.name, moment, as_json=as_json)


@registry.command()
def gc(
    keep_history: Annotated[
        float,
        typer.Option(
            metavar="DAYS", min=0, max=100_000, help="Keep bundles that served within so many days."
        ),
    ] = 90.0,
    keep_pushed: Annotated[
        float,
        typer.Option(
            metavar="HOURS",
            min=0,
            max=1_000_000,
            help="Keep bundles that were pushed within so many hours; they may be about to be promoted.",
        ),
    ] = 24.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and why the rest stays.")
    ] = False,
    without_services: Annotated[
        bool,
        typer.Option(
            "--without-services",
            help="Go on without asking which bundles the running services have open.",
        ),
    ] = False,
    registry: RegistryAddress = None,
    store: StoreUrl = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Delete the bundles that nothing needs any more, and say of each other one why it stays.

    Example: `demur registry gc --keep-history 30 --dry-run`

    A bundle stays if an alias or a running promotion names it, if a rollback may go back to it, if it served
    within --keep-history, if a running service has it open, or if it was pushed within --keep-pushed. The
    records of the fleets stay always. If any record cannot be read, nothing is deleted.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.registry_gc import GcOptions, collect_and_tell

    place = fleet_place(FleetOptions(registry, store, env_file=env_file))
    options = GcOptions(keep_history, keep_pushed, dry_run, without_services)
    collect_and_tell(place, options, as_json=as_json)
