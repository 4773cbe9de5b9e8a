"""Entries as this process knows them: those on the disk, and those that the disk does not take now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import RLock

import structlog

from monitoring.alerts.outbox.entry import Entry
from monitoring.alerts.outbox.folder import OutboxFolder

logger = structlog.get_logger("demur.alerts")


class KeptEntries:
    """The folder of the outbox, and what is true beside it while it cannot be written. No method raises."""

    def __init__(self, folder: Path) -> None:
        self._folder = OutboxFolder(folder)
        self._lock = RLock()
        self._only_here: dict[str, Entry] = {}
        """Key -> entry that the disk has never taken"""
        self._tries: dict[str, Entry] = {}
        """Key -> entry on the disk with tries that the disk has not taken"""
        self._unfinished: dict[str, Entry] = {}
        """Key -> entry that has nothing to be done, which the disk does not say yet"""
        self._done_here: dict[str, None] = {}
        """Keys of entries that were done before the disk had taken them, in their order"""
        self._busy: set[str] = set()
        """Keys in memory alone that a thread is trying"""
        self._works = True

    def add(self, entry: Entry) -> None:
        """Keep an entry that nobody has added yet."""
        with self._lock:
            if any(entry.key in known for known in (self._only_here, self._unfinished, self._done_here)):
                return
            try:
                self._folder.add(entry)
            except OSError as error:
                self._only_here[entry.key] = entry
                self._failed(error)
            else:
                self._worked()

    def entries(self) -> list[Entry]:
        """Every entry that waits."""
        with self._lock:
            try:
                found = {entry.key: entry for entry in self._folder.entries()}
            except OSError as error:
                found = {}
                self._failed(error)
            self._tries = {key: entry for key, entry in self._tries.items() if key in found}
            waiting = {**found, **self._tries, **self._only_here}
            return [entry for key, entry in waiting.items() if key not in self._unfinished]

    def is_done(self, key: str) -> bool:
        """Whether an entry has nothing more to be done, whichever process has seen to it."""
        with self._lock:
            here = key in self._unfinished or key in self._done_here
            return here or (key not in self._only_here and self._folder.is_done(key))

    @contextmanager
    def claimed(self, listed: Entry) -> Iterator[Entry | None]:
        """The entry as it is now, for this thread alone; None if another one is at it, or it is done."""
        key = listed.key
        with self._lock:
            held = self._only_here.get(key)
            taken = key in self._unfinished or key in self._busy
            if held is not None and not taken:
                self._busy.add(key)
        if taken:
            yield None
        elif held is not None:
            try:
                yield held
            finally:
                with self._lock:
                    self._busy.discard(key)
        else:
            with ExitStack() as claims:
                try:
                    entry = claims.enter_context(self._folder.claimed(key))
                except OSError as error:
                    self._failed(error)
                    entry = None
                yield entry if entry is None else self._tries.get(key, entry)

    def update(self, entry: Entry) -> None:
        """Keep what became of a try."""
        with self._lock:
            try:
                self._folder.update(entry)
            except OSError as error:
                (self._only_here if entry.key in self._only_here else self._tries)[entry.key] = entry
                self._failed(error)
            else:
                self._only_here.pop(entry.key, None)
                self._tries.pop(entry.key, None)
                self._worked()

    def finish(self, entry: Entry) -> None:
        """Note that an entry has nothing more to be done."""
        with self._lock:
            if self._only_here.pop(entry.key, None) is not None:
                self._done_here[entry.key] = None
                return
            self._tries.pop(entry.key, None)
            try:
                self._folder.finish(entry)
            except OSError as error:
                self._unfinished[entry.key] = entry
                self._failed(error)
            else:
                self._unfinished.pop(entry.key, None)
                self._worked()

    def tidy(self, longest: float, most: int) -> None:
        """Bring the disk up to date, and forget what was done more than `longest` seconds ago."""
        with self._lock:
            for entry in list(self._unfinished.values()):
                self.finish(entry)
            for key in list(self._done_here)[:-most]:
                del self._done_here[key]
            held = [entry for key, entry in self._only_here.items() if key not in self._busy]
            try:
                for entry in held:
                    self._folder.add(entry)
                    del self._only_here[entry.key]
                self._folder.prune(longest, most)
            except OSError as error:
                self._failed(error)
            else:
                self._worked()

    def _failed(self, error: OSError) -> None:
        if self._works:
            logger.error(
                "alert_outbox_unwritable",
                folder=str(self._folder.folder),
                error=error.strerror or str(error),
                consequence="messages are held in memory and tried from there; a restart would lose them",
            )
        self._works = False

    def _worked(self) -> None:
        if not self._works:
            logger.info("alert_outbox_works_again", folder=str(self._folder.folder))
        self._works = True
