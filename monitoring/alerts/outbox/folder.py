"""Folder of the outbox: a file per entry, each written whole or not at all, each locked while it is tried.

`waiting/` holds what has to be told, `done/` what was told or given up, so that a message that is added again
after a kill is known. A file changes its folder by renaming, which either has happened or has not.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

from monitoring.alerts.message import MessageUnreadable
from monitoring.alerts.outbox.entry import Entry
from monitoring.delivery.segments import sync_folder
from monitoring.formats import FormatTooNew

logger = structlog.get_logger("demur.alerts")

_SUFFIX: Final = ".json"
_FRESH: Final = ".new"
_UNREADABLE: Final = ".unreadable"
_ABANDONED: Final = 3600.0
"""Seconds after which a half-written file is removed"""


class OutboxFolder:
    """The files. Methods raise OSError, except where they say otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting, self._done = folder / "waiting", folder / "done"
        self._parsed: dict[str, tuple[tuple[int, int], Entry]] = {}
        """Name of a file -> (inode and time of change, entry)"""
        self._left: set[str] = set()
        """Names of files that only a later version reads"""

    def add(self, entry: Entry) -> bool:
        """Put an entry on the disk; False if it is there, or was told already."""
        name = f"{entry.key}{_SUFFIX}"
        if (self._waiting / name).exists() or (self._done / name).exists():
            return False
        self._write(entry)
        return True

    def is_done(self, key: str) -> bool:
        """Whether an entry has nothing more to be done: it is not waiting, and it was."""
        name = f"{key}{_SUFFIX}"
        return (self._done / name).exists() and not (self._waiting / name).exists()

    def entries(self) -> list[Entry]:
        """Everything that waits. A file that is no entry is set aside and said; one of a later version is
        said, and stays for it."""
        found = {}
        with suppress(FileNotFoundError), os.scandir(self._waiting) as files:
            for file in files:
                if file.name.endswith(_SUFFIX) and (one := self._read(file)) is not None:
                    found[file.name] = one
        self._parsed = found
        return [entry for _, entry in found.values()]

    @contextmanager
    def claimed(self, key: str) -> Iterator[Entry | None]:
        """The entry, for this process alone; None if another one has it, or it is gone."""
        path = self._waiting / f"{key}{_SUFFIX}"
        try:
            file = path.open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The file may have been replaced between its opening and its lock.
                current = path.stat().st_ino == os.fstat(file.fileno()).st_ino
                entry = Entry.from_json(file.read()) if current else None
            except (BlockingIOError, FileNotFoundError, MessageUnreadable, FormatTooNew):
                entry = None
            yield entry

    def update(self, entry: Entry) -> None:
        """Replace what is known of an entry."""
        self._write(entry)

    def finish(self, entry: Entry) -> None:
        """Note that an entry has nothing more to be done."""
        name = f"{entry.key}{_SUFFIX}"
        self._done.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            (self._waiting / name).rename(self._done / name)
        sync_folder(self._done)
        sync_folder(self._waiting)

    def prune(self, longest: float, most: int) -> None:
        """Forget what was done more than `longest` seconds ago, and all but the latest `most`."""
        now = time.time()
        with suppress(FileNotFoundError):
            for file in self._waiting.glob(f"*{_FRESH}"):
                if now - file.stat().st_mtime > _ABANDONED:
                    file.unlink(missing_ok=True)
            files = sorted(self._done.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
            for place, file in enumerate(files, start=1):
                if len(files) - place >= most or now - file.stat().st_mtime > longest:
                    file.unlink(missing_ok=True)

    def _write(self, entry: Entry) -> None:
        self._waiting.mkdir(parents=True, exist_ok=True)
        path = self._waiting / f"{entry.key}{_SUFFIX}"
        fresh = path.with_suffix(f".{uuid4().hex}{_FRESH}")
        try:
            # Addresses and numbers of people are in it.
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(file, "wb") as stream:
                stream.write(entry.to_json())
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(path)
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
        sync_folder(self._waiting)

    def _read(self, file: os.DirEntry[str]) -> tuple[tuple[int, int], Entry] | None:
        try:
            state = file.stat()
            version = (state.st_ino, state.st_mtime_ns)
            known = self._parsed.get(file.name)
            if known is not None and known[0] == version:
                return known
            return version, Entry.from_json(Path(file.path).read_bytes())
        except FileNotFoundError:
            return None
        except FormatTooNew as error:
            if file.name not in self._left:
                self._left.add(file.name)
                logger.error("alert_message_left", file=file.path, why=str(error))
            return None
        except MessageUnreadable as error:
            logger.error("alert_message_unreadable", file=file.path, why=str(error))
            Path(file.path).rename(f"{file.path}{_UNREADABLE}")
            return None
