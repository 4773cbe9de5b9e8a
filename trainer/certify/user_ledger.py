"""The ledger of all calibration splits that a user has read, and where it is.

By default it is one file in the data folder of the user. `DEMUR_LEDGER` names another folder or a Redis
server, which several users and processes may share.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from calibration.known_splits import KnownSplits
from trainer.certify.ledger_document import AccountStore, Change, LedgerUnavailable
from trainer.certify.ledger_folder import LedgerFolder, read_ledger_file
from trainer.certify.ledger_redis import LedgerInRedis
from trainer.errors import RunError

VARIABLE = "DEMUR_LEDGER"

_OWN: ContextVar[Path | None] = ContextVar("own ledger", default=None)


@contextmanager
def ledger_in(folder: Path) -> Iterator[None]:
    """Use another folder inside of the block, for labels without limit, such as rendered scenes."""
    token = _OWN.set(folder)
    try:
        yield
    finally:
        _OWN.reset(token)


def labels_are_unlimited() -> bool:
    """Whether the code runs inside of `ledger_in`."""
    return _OWN.get() is not None


def user_ledger() -> AccountStore:
    """Where the user's ledger is kept: as `DEMUR_LEDGER` says, or in the data folder of the user."""
    own = _OWN.get()
    if own is not None:
        return LedgerFolder(own)
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return _store_named(named)
    try:
        return LedgerFolder(Path(platformdirs.user_data_dir("demur", appauthor=False)) / "ledger")
    except RuntimeError as error:
        raise LedgerUnavailable(f"no folder for the ledger: {error}; name one by {VARIABLE}") from None


def read_accounts() -> KnownSplits:
    """The user's accounts. Raises `LedgerUnavailable` and `DamagedLedger`."""
    return user_ledger().read()


def change_accounts(change: Change) -> KnownSplits:
    """Change the user's accounts, see `AccountStore.change`."""
    return user_ledger().change(change)


def read_other(name: str) -> KnownSplits:
    """The accounts of another ledger: a file, the folder of one, or the URL of a Redis server."""
    if "://" in name:
        return _store_named(name).read()
    path = Path(name).expanduser()
    file = LedgerFolder(path).file if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{file} is not there; name the file that `demur ledger show` names, or its folder")
    return read_ledger_file(file)


def place_shown(name: str) -> str:
    """The name of another ledger in messages, without passwords."""
    return _store_named(name).place if "://" in name else name


def place_of(path: Path) -> str:
    """Name of a run folder or file in the ledger; with the machine where several may share the ledger."""
    resolved = str(path.resolve())
    is_own = labels_are_unlimited() or not os.environ.get(VARIABLE, "").strip()
    return resolved if is_own else f"{platform.node()}:{resolved}"


def now() -> str:
    """The time of an entry."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _store_named(name: str) -> AccountStore:
    if "://" in name:
        return LedgerInRedis(name)
    try:
        return LedgerFolder(Path(name).expanduser())
    except RuntimeError as error:
        raise LedgerUnavailable(f"{VARIABLE} is {name!r}: {error}; name another folder") from None
