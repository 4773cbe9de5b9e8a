"""An append-only log of events on disk, from which the rolling windows can be rebuilt.

A log belongs to one writer at a time: a folder with segments and a name of its own. Segments are only
appended to, rotated by size and age, and removed once they are too old or too many. The reader skips
lines that a crash has torn.

Durability: `append` hands the events to the system, so they survive the death of this process; `sync`
puts them on the disk, so they survive the death of the machine. The recorder appends ten times per
second, and syncs every second, at each rotation and at the end.
"""

from __future__ import annotations

import fcntl
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

import structlog

from monitoring.delivery.event_lines import UnknownKind, UnreadableLine, event_of, line_of
from monitoring.delivery.latest_events import LatestEvents
from monitoring.delivery.segments import Position, Segments, SegmentWriter, sync_folder
from monitoring.events import Event

logger = structlog.get_logger("demur.events")

WRITER_FOLDER: Final = "writer-"
"""Beginning of the name of every log's folder; its number follows."""
_LOCK, _NAME = "lock", "name"
_DRAWN_NAME: Final = re.compile("[0-9a-f]{32}")
_MAX_WRITERS: Final = 1024


@dataclass(frozen=True, slots=True)
class LogBounds:
    """How much of its events one writer keeps."""

    most_bytes: int = 256 * 2**20
    longest: float = 30 * 86_400.0
    """Seconds."""

    @property
    def segment_bytes(self) -> int:
        """Size at which a segment is rotated: small, so that removing one segment loses little."""
        return min(16 * 2**20, max(4096, self.most_bytes // 16))

    @property
    def segment_seconds(self) -> float:
        """Age at which a segment is rotated."""
        return min(86_400.0, self.longest / 4)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive events of a log."""

    events: Sequence[Event]
    after: Position
    """The position behind the last of them."""


class EventLog:
    """The log of one writer, open and locked; used from one thread. Every method may raise OSError."""

    def __init__(self, folder: Path, lock: IO[bytes], bounds: LogBounds) -> None:
        """See `claim` and `unclaimed`."""
        self._lock = lock
        self._bounds = bounds
        self.name = _name_of(folder)
        """The log's name in the store of the windows; no other log has it."""
        self._segments = Segments(folder)
        existing = self._segments.numbers()
        last = existing[-1] if existing else 0
        self._end = Position(last, self._segments.size(last))
        self._writer: SegmentWriter | None = None
        self._unknown: set[str] = set()
        """What was said of events of a later version, which may be many"""
        self._began = 0.0
        self._latest = LatestEvents()

    @classmethod
    def claim(cls, parent: Path, bounds: LogBounds, *, besides: Path | None = None) -> Self:
        """The first log in `parent` without a writer, or a new one; never the one in folder `besides`.

        So a worker that is started in the place of a dead one continues its log.
        """
        for number in range(_MAX_WRITERS):
            folder = parent / f"{WRITER_FOLDER}{number}"
            if folder == besides:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
            if lock is not None:
                return cls(folder, lock, bounds)
        raise OSError(f"all {_MAX_WRITERS} logs in {parent} are being written")

    @classmethod
    def unclaimed(cls, parent: Path, bounds: LogBounds) -> Iterator[Self]:
        """Each log in `parent` that has no writer now, claimed until the next one is requested."""
        for folder in sorted(parent.glob(f"{WRITER_FOLDER}*")):
            lock = _locked(folder)
            if lock is not None:
                log = cls(folder, lock, bounds)
                try:
                    yield log
                finally:
                    log.close()

    @property
    def end(self) -> Position:
        return self._end

    @property
    def folder(self) -> Path:
        return self._segments.folder

    def append(self, events: Sequence[Event]) -> None:
        """Write events behind the others; if it raises, none of them counts as written."""
        self._rotate_if_due()
        writer = self._writer or self._begin_segment()
        try:
            lines = list(map(line_of, events))
            writer.append(b"".join(lines))
        except OSError:
            self._undo_append(writer)
            raise
        self._latest.add(self._end.offset, lines, events)
        self._end = Position(self._end.segment, writer.size)

    def sync(self) -> None:
        """Put on the disk what has been written."""
        if self._writer is not None:
            self._writer.sync()

    def read(self, after: Position, most: int, until: Position | None = None) -> Excerpt:
        """At most `most` events behind `after`, up to `until` (None: the end); there are none there."""
        if until is None and after.segment == self._end.segment:
            latest, offset = self._latest.take(after.offset, most)
            if latest:
                return Excerpt(latest, Position(after.segment, offset))
        events: list[Event] = []
        at = after
        while len(events) < most and at < (until or self._end):
            following = self._next_segment(at)
            if following is not None:
                at = following
                continue
            chunk = self._segments.chunk(at, self._end)
            lines = chunk.split(b"\n")
            if len(lines) == 1:
                # A chunk without a line end: a torn last line, or no text at all.
                self._log_unreadable(at)
                at = Position(at.segment, at.offset + len(chunk))
                continue
            for line in lines[:-1]:
                at_line, at = at, Position(at.segment, at.offset + len(line) + 1)
                try:
                    events.append(event_of(line))
                except UnknownKind as error:
                    self._log_unknown(str(error))
                except UnreadableLine:
                    self._log_unreadable(at_line)
                if len(events) == most:
                    break
        return Excerpt(events, at)

    def count(self, after: Position) -> int:
        """Number of lines behind `after`."""
        return self._segments.count_lines(after)

    def prune(self, delivered: Position, lost: Callable[[Event], None]) -> None:
        """Remove the segments that are too old or too many.

        `lost` is called with each event in them that lies behind `delivered`.
        """
        numbers = self._segments.numbers()
        total = sum(map(self._segments.size, numbers))
        now = time.time()
        for number in numbers:
            if number == self._end.segment and self._writer is not None:
                return
            path, size = self._segments.path(number), self._segments.size(number)
            if total <= self._bounds.most_bytes and now - path.stat().st_mtime <= self._bounds.longest:
                return
            at, segment_end = max(delivered, Position(number, 0)), Position(number, size)
            while at < segment_end:
                excerpt = self.read(at, 1000, segment_end)
                for event in excerpt.events:
                    lost(event)
                at = excerpt.after
            total -= size
            path.unlink()
            if number == self._end.segment:
                self._end = Position(number, 0)
            logger.info("events_pruned", log=self.name, segment=number)

    def close(self) -> None:
        """Put everything on the disk and release the log."""
        try:
            self._end_segment()
        finally:
            self._lock.close()

    def _rotate_if_due(self) -> None:
        full = self._end.offset >= self._bounds.segment_bytes
        if full or time.time() - self._began >= self._bounds.segment_seconds:
            self._end_segment()

    def _begin_segment(self) -> SegmentWriter:
        # Always a new one: the last one may end in a torn line.
        number = self._end.segment + 1
        self._writer = SegmentWriter.create(self._segments.path(number))
        self._began = time.time()
        self._end = Position(number, 0)
        self._latest.clear()
        sync_folder(self.folder)
        return self._writer

    def _end_segment(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _undo_append(self, writer: SegmentWriter) -> None:
        """Cut off what a failed write has left; if that fails as well, end the segment as it is."""
        try:
            writer.cut_to_size()
        except OSError:
            self._writer = None
            writer.close(sync=False)
            self._end = Position(self._end.segment, self._segments.size(self._end.segment))

    def _next_segment(self, at: Position) -> Position | None:
        """The start of the next segment if `at` is the end of its own or its own is gone."""
        if at.segment == self._end.segment or at.offset < self._segments.size(at.segment):
            return None
        following = [number for number in self._segments.numbers() if number > at.segment]
        return Position(following[0], 0) if following else self._end

    def _log_unknown(self, why: str) -> None:
        if why not in self._unknown:
            self._unknown.add(why)
            logger.warning("event_of_a_later_version", log=str(self.folder), why=why)

    def _log_unreadable(self, at: Position) -> None:
        logger.warning("event_unreadable", log=str(self.folder), position=str(at))


def _locked(folder: Path) -> IO[bytes] | None:
    lock = (folder / _LOCK).open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _name_of(folder: Path) -> str:
    """The log's name, drawn once and kept beside the segments."""
    file = folder / _NAME
    if file.exists() and _DRAWN_NAME.fullmatch(name := file.read_text("utf-8", "replace").strip()):
        return name
    name = uuid.uuid4().hex
    fresh = folder / f"{_NAME}.new"
    fresh.write_text(f"{name}\n", "utf-8")
    fresh.replace(file)
    return name
