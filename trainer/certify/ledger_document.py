"""The user's ledger as one document, and the port behind which a folder or a Redis server keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from calibration.errors import LedgerError
from calibration.known_splits import KnownSplits
from trainer.errors import RunError

_FORMAT = 1


class LedgerUnavailable(RunError):
    """The user's ledger cannot be read or written; the message names the place and the way out."""


class DamagedLedger(RunError):
    """The user's ledger is cut short, edited, or something else."""


class LedgerTooNew(RunError):
    """A later version of demur has written the user's ledger, in a format that this one does not read."""


Change = Callable[[KnownSplits], KnownSplits]
"""Depends on its argument alone; it is called again if another process was quicker"""


class AccountStore(Protocol):
    """Where the user's ledger is kept. Every method raises `LedgerUnavailable`, `DamagedLedger` and
    `LedgerTooNew`."""

    @property
    def place(self) -> str:
        """Its name in messages, without passwords."""

    def read(self) -> KnownSplits:
        """The accounts; none if nothing was certified yet."""

    def change(self, change: Change) -> KnownSplits:
        """Replace the accounts by `change` of them, as a whole and one process at a time.

        Returns the new accounts. An error that `change` raises leaves them as they are.
        """


def encode(known: KnownSplits) -> bytes:
    """The document of these accounts; `decode` is the inverse."""
    splits = known.to_dict()
    values = {"format": _FORMAT, "digest": _digest(splits), "splits": splits}
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def decode(content: bytes | None, place: str) -> KnownSplits:
    """The accounts in a document, none without one; `DamagedLedger` and `LedgerTooNew` name `place`."""
    if content is None:
        return KnownSplits()
    try:
        values = orjson.loads(content)
        if type(values["format"]) is int and values["format"] > _FORMAT:
            raise LedgerTooNew(
                f"the ledger {place} has format {values['format']}, and this demur reads up to {_FORMAT}: "
                "install the later version that wrote it, or name another ledger by DEMUR_LEDGER, which "
                "knows nothing of the certificates in this one; nothing was changed"
            )
        splits = values["splits"]
        if values["format"] != _FORMAT:
            raise LedgerError(f"its format is {values['format']!r}; it must be {_FORMAT}")
        if values["digest"] != _digest(splits):
            raise LedgerError("its content does not match its digest")
        return KnownSplits.from_dict(splits)
    except (orjson.JSONDecodeError, KeyError, TypeError, LedgerError) as error:
        raise DamagedLedger(
            f"the ledger {place} is damaged ({error}); restore it from a backup. Without one, move it away: "
            "the certificates in it are then known only to the runs themselves, and `demur ledger merge` "
            "takes them from another user's copy"
        ) from None


def _digest(splits: Any) -> str:
    return hashlib.sha256(orjson.dumps(splits, option=orjson.OPT_SORT_KEYS)).hexdigest()
