"""The user's ledger in a folder: one file, which is replaced as a whole, and a lock beside it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from calibration.known_splits import KnownSplits
from trainer.certify.ledger_document import Change, LedgerUnavailable, decode, encode
from trainer.run.disk import DiskError
from trainer.run.folder import write_bytes

FILE = "calibration-splits.json"
_WAIT = 60.0
"""Seconds to wait for other processes; each holds the lock for the time of one change"""


@dataclass(frozen=True, slots=True)
class LedgerFolder:
    """`AccountStore` in a folder, which may lie on a file system that several machines share."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / FILE

    @property
    def place(self) -> str:
        return str(self.file)

    def read(self) -> KnownSplits:
        return read_ledger_file(self.file)

    def change(self, change: Change) -> KnownSplits:
        with self._locked():
            known = self.read()
            new = change(known)
            if new != known:
                try:
                    write_bytes(self.file, encode(new))
                except (OSError, DiskError) as error:
                    raise _unavailable(self.folder, error) from None
            return new

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise _unavailable(self.folder, error) from None
        with lock:
            _take(lock, self.folder)
            yield


def read_ledger_file(file: Path) -> KnownSplits:
    """The accounts in a file; none if it is missing. Raises `LedgerUnavailable` and `DamagedLedger`."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        content = None
    except OSError as error:
        raise _unavailable(file.parent, error) from None
    return decode(content, str(file))


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
                    "that process, or name another folder by DEMUR_LEDGER"
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise _unavailable(folder, error) from None


def _unavailable(folder: Path, error: Exception) -> LedgerUnavailable:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return LedgerUnavailable(
        f"the ledger of calibration splits in {folder} cannot be used ({reason}); name a folder that can be "
        "written by DEMUR_LEDGER=FOLDER"
    )
