"""The verb `promote`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson, By, FleetEnvFile, FleetName, RegistryAddress, StoreUrl


def promote(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder of a bundle, which is pushed to the registry first, or a bundle of the registry: "
            "name:version, a digest or its first eight digits, or an alias. [required, unless --resume]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="ALIAS", help="What it is to become: champion, or FLEET/champion.")
    ] = "champion",
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML with gates, steps and limits; `demur init --promotion FILE` writes one with all "
            "defaults. [default: the defaults]",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the plan and run the offline gates. What serves stays, and nothing is recorded; a "
            "folder is pushed to the registry.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Begin without a question; needed if there is no terminal.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the promotion whose promoter has died or was interrupted."),
    ] = False,
    by: By = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the registry.")] = "",
    fleet: FleetName = None,
    registry: RegistryAddress = None,
    store: StoreUrl = None,
    env_file: FleetEnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Bring a bundle into service in steps that stop by themselves when something is wrong.

    Example: `demur promote runs/second/bundle --registry registry --reason "two more months of labels"`

    Offline gates come first: signature, verification, golden cases, certificate, a shared test set, latency,
    memory, start. Then every service opens the bundle beside the champion, computes with it as a shadow, and
    gives it a growing share of the units under guardrails; at last it answers all of them. No data, an error
    and a time that runs out are no pass: the promotion is rolled back then, and says why.

    The state is in the registry after each step. If this is interrupted, the fleet stays as it is: go on with
    `demur promote --resume`, or end it with `demur promotion abort`.

    The exit code is 0 if the bundle is promoted, 3 if it was rolled back (with `--dry-run`: if a gate has not
    passed), 2 if it was refused before anything had changed, and 130 if this was interrupted.
    """
    from demur.commands.fleet_place import FleetOptions, fleet_place
    from demur.commands.private_port import user_or
    from demur.commands.promote import ROLLED_BACK, Asked, promote_and_tell

    if (bundle is None) != resume:
        raise typer.BadParameter("give a bundle, or --resume and no bundle", param_hint="BUNDLE")
    place = fleet_place(FleetOptions(registry, store, fleet, env_file), to)
    asked = Asked(bundle, plan, user_or(by, "--by"), reason, dry_run=dry_run, yes=yes, as_json=as_json)
    if not promote_and_tell(place, asked):
        raise typer.Exit(ROLLED_BACK)
