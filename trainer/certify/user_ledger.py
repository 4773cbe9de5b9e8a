"""The ledger of all calibration splits that a user has read: one file in a folder of the user.

`DEMUR_LEDGER` names another folder, which several users and processes may share: a lock serialises changes,
and the file is replaced as a whole. A Redis URL is refused: such a store may evict or lose its last entries,
and an entry that is lost is a second delta for the same labels.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson
import platformdirs

from calibration.errors import LedgerError
from calibration.known_splits import KnownSplits
from trainer.errors import RunError
from trainer.run.disk import DiskError
from trainer.run.folder import write_json

VARIABLE = "DEMUR_LEDGER"
FILE = "calibration-splits.json"
_FORMAT = 1
_WAIT = 60.0
"""Seconds to wait for other processes; each holds the lock for the time of one charge"""


class LedgerUnavailable(RunError):
    """The user's ledger cannot be read or written; the message names the folder and the way out."""


class DamagedLedger(RunError):
    """The user's ledger is cut short, or edited."""


@dataclass(slots=True)
class Accounts:
    """The user's ledger while its lock is held."""

    path: Path
    known: KnownSplits

    def save(self, known: KnownSplits) -> None:
        """Replace the file; a reader sees the old content or the new one."""
        splits = known.to_dict()
        try:
            write_json(self.path, {"format": _FORMAT, "digest": _digest(splits), "splits": splits})
        except (OSError, DiskError) as error:
            raise _unavailable(self.path.parent, error) from None
        self.known = known


_OWN: ContextVar[Path | None] = ContextVar("own ledger", default=None)


@contextmanager
def ledger_in(folder: Path) -> Iterator[None]:
    """Use another folder inside of the block, for labels without limit, such as rendered scenes."""
    token = _OWN.set(folder)
    try:
        yield
    finally:
        _OWN.reset(token)


def location() -> Path:
    """The folder of the user's ledger: `DEMUR_LEDGER`, or one in the data folder of the user."""
    own = _OWN.get()
    if own is not None:
        return own
    named = os.environ.get(VARIABLE, "").strip()
    if "://" in named:
        raise LedgerUnavailable(
            f"{VARIABLE} is a URL ({named.partition('://')[0]}://...); it must be a folder, which may lie on "
            "a shared file system, because a store such as Redis may lose entries that a promise depends on"
        )
    try:
        if named:
            return Path(named).expanduser()
        return Path(platformdirs.user_data_dir("demur", appauthor=False)) / "ledger"
    except RuntimeError as error:
        raise LedgerUnavailable(f"no folder for the ledger: {error}; name one by {VARIABLE}") from None


@contextmanager
def open_accounts() -> Iterator[Accounts]:
    """The user's ledger under its lock. Raises `LedgerUnavailable` and `DamagedLedger`."""
    folder = location()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise _unavailable(folder, error) from None
    with lock:
        _take(lock, folder)
        yield Accounts(folder / FILE, read_accounts(folder / FILE))


def read_accounts(path: Path | None = None) -> KnownSplits:
    """The accounts in a file, by default the user's; none if there is no file. Raises `DamagedLedger`."""
    path = location() / FILE if path is None else path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return KnownSplits()
    except OSError as error:
        raise _unavailable(path.parent, error) from None
    try:
        values = orjson.loads(content)
        splits = values["splits"]
        if values["format"] != _FORMAT:
            raise LedgerError(f"its format is {values['format']!r}, and this version reads {_FORMAT}")
        if values["digest"] != _digest(splits):
            raise LedgerError("its content does not match its digest")
        return KnownSplits.from_dict(splits)
    except (orjson.JSONDecodeError, KeyError, TypeError, LedgerError) as error:
        raise DamagedLedger(
            f"the ledger {path} is damaged ({error}); restore it from a backup. Without one, move it away: "
            "the certificates in it are then known only to the runs themselves, and `demur ledger merge` "
            "takes them from another user's copy"
        ) from None


def now() -> str:
    """The time of an entry."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _digest(splits: Any) -> str:
    return hashlib.sha256(orjson.dumps(splits, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _take(lock: IO[str], folder: Path) -> None:
    end = time.monotonic() + _WAIT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise LedgerUnavailable(
                    f"the ledger in {folder} is locked by another process for more than {_WAIT:.0f} s; end "
                    f"that process, or name another folder by {VARIABLE}"
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise _unavailable(folder, error) from None


def _unavailable(folder: Path, error: Exception) -> LedgerUnavailable:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return LedgerUnavailable(
        f"the ledger of calibration splits in {folder} cannot be used ({reason}); name a folder that can be "
        f"written by {VARIABLE}=FOLDER"
    )
