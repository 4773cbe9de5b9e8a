"""`demur ledger`: the accounts of all known calibration splits as a table or JSON, and their merger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from calibration.known_splits import KnownSplit, KnownSplits, SplitIdentity
from demur.output import printable
from trainer.certify.user_ledger import change_accounts, place_shown, read_other, user_ledger


def ledger_table(known: KnownSplits) -> Table:
    """One row per certificate, the splits in the order of their first one.

    `left`: delta left for the model of the certificate. `together`: confidence with which all certificates on
    the units of the split hold.
    """
    table = Table(title="Certificates on known calibration splits")
    for column in ("split", "units", "where", "when", "what", "delta", "left", "together"):
        table.add_column(column, overflow="fold")
    for digest, split in known.splits.items():
        identity = _identity(digest, split)
        together = f"{100 * known.confidence(identity):.4g} %"
        for place, one in enumerate(split.certificates):
            first = (digest[:12], f"{split.units:,}") if place == 0 else ("", "")
            delta = f"{one.delta:g}" + (" (withdrawn)" if one.withdrawn else "")
            left = f"{known.left(identity, one.model):g} of {known.budget(identity):g}"
            last = (left, together if place == 0 else "")
            table.add_row(*map(escape, (*first, printable(one.place), one.at, one.what, delta, *last)))
    return table


def ledger_values(known: KnownSplits) -> dict[str, Any]:
    """Plain JSON values by split digest."""
    values = {}
    for digest, split in known.splits.items():
        identity = _identity(digest, split)
        values[digest] = {
            "units": split.units,
            "budget": known.budget(identity),
            "confidence_together": known.confidence(identity),
            "shares_units_with": [other for other in known.sharing(identity) if other != digest],
            "certificates": [
                {**asdict(one), "left": known.left(identity, one.model)} for one in split.certificates
            ],
        }
    return values


def merge_ledgers(names: Sequence[str]) -> Iterator[str]:
    """Add other ledgers to the user's; one line each. Nothing is written if one of them is unreadable."""
    others = {place_shown(name): read_other(name) for name in names}

    def merged(known: KnownSplits) -> KnownSplits:
        for other in others.values():
            known = known.merged(other)
        return known

    known = change_accounts(merged)
    for place, other in others.items():
        yield f"{printable(place)}: {_size(other)}"
    yield f"{printable(user_ledger().place)} now holds {_size(known)}"


def _size(known: KnownSplits) -> str:
    count = sum(len(split.certificates) for split in known.splits.values())
    return f"{count} certificates on {len(known.splits)} splits"


def _identity(digest: str, split: KnownSplit) -> SplitIdentity:
    return SplitIdentity(digest, split.units, split.sketch, split.aliases)
