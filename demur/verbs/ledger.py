"""The verb `ledger`, with one verb to show it and one to merge another."""

from __future__ import annotations

from typing import Annotated

import typer

from demur.verbs.options import AsJson

ledger = typer.Typer(
    name="ledger",
    no_args_is_help=True,
    help="Show and merge the ledger of all calibration splits that this user has certified on.\n\n"
    "All certificates of one model on one split share its delta, in whichever folder they are; those of "
    "several models hold together with a smaller confidence, which is shown. The ledger is in a folder "
    "of the user, or where `DEMUR_LEDGER` says: in another folder or in a Redis server "
    "(`redis://HOST:PORT/DB`), which several users may share.",
)


@ledger.command()
def show(as_json: AsJson = False) -> None:
    """Show every certificate on every known split: where, when, the delta left for its model, and the
    confidence with which all of them hold together.

    Example: `demur ledger show`

    A split is known by the content of its images, without their labels. Splits that share more than 1 % of
    their images share one account.
    """
    from rich.console import Console

    from demur.commands.ledger import ledger_table, ledger_values
    from demur.output import write_json
    from trainer.certify.user_ledger import user_ledger

    ledger = user_ledger()
    known = ledger.read()
    if as_json:
        write_json(ledger_values(known))
        return
    print(f"ledger: {ledger.place}")
    if known.splits:
        Console().print(ledger_table(known))
    else:
        print("No certificate is known here.")


@ledger.command()
def merge(
    ledgers: Annotated[
        list[str],
        typer.Argument(
            metavar="LEDGER...", help="Ledgers of other users or machines: files, folders or URLs."
        ),
    ],
) -> None:
    """Add the certificates of other ledgers to this one; no entry of either is lost.

    Example: `demur ledger merge /backup/calibration-splits.json`

    LEDGER is what `demur ledger show` names there: a file, its folder, or the URL of a Redis server.
    """
    from demur.commands.ledger import merge_ledgers

    for line in merge_ledgers(ledgers):
        print(line)
