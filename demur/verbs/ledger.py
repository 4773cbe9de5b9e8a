"""The verb `ledger`, with one verb to show it and one to merge another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson

ledger = typer.Typer(
    name="ledger",
    no_args_is_help=True,
    help="Show and merge the ledger of all calibration splits that this user has certified on.\n\n"
    "All certificates on one split share its delta, in whichever folder they are. The ledger is in a folder "
    "of the user, or in the one that `DEMUR_LEDGER` names.",
)


@ledger.command()
def show(as_json: AsJson = False) -> None:
    """Show every certificate on every known split: where, when, and how much delta is left.

    Example: `demur ledger show`

    A split is known by the content of its images, without their labels. Splits that share more than 1 % of
    their images share one account.
    """
    from rich.console import Console

    from demur.commands.ledger import ledger_table, ledger_values
    from demur.output import write_json
    from trainer.certify.user_ledger import FILE, location, read_accounts

    known = read_accounts()
    if as_json:
        write_json(ledger_values(known))
        return
    print(f"ledger: {location() / FILE}")
    if known.splits:
        Console().print(ledger_table(known))
    else:
        print("No certificate is known here.")


@ledger.command()
def merge(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Ledgers of other users or machines.")
    ],
) -> None:
    """Add the certificates of other ledgers to this one; no entry of either is lost.

    Example: `demur ledger merge /backup/calibration-splits.json`

    FILE is the file that `demur ledger show` names, or its folder.
    """
    from demur.commands.ledger import merge_ledgers

    for line in merge_ledgers(files):
        print(line)
