"""An append-only log of events on disk, so that the rolling windows can be worked out again.

A log belongs to one writer at a time: a folder of segments, `000000000001.jsonl` and so on, and a name
of its own. Segments are only ever appended to, rotated by size and age, and removed once they are too
old or too many. What a crash tore is passed over by the reader.

Durability: `append` hands the events to the system, so they survive the death of this process; `sync`
puts them on the disk, so that they survive the machine's. The recorder does the first ten times a
second, the second every second, at each rotation and at the end.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

import structlog

from monitoring.delivery.event_lines import UnreadableLine, event_of, line_of
from monitoring.events import Event

logger = structlog.get_logger("demur.events")

_FOLDER, _SEGMENT, _LOCK, _NAME = "writer-", ".jsonl", "lock", "name"
_CHUNK: Final = 256 * 2**10
"""Bytes read at a time; a line is far shorter."""
_DRAWN: Final = re.compile("[0-9a-f]{32}")
_MOST_WRITERS: Final = 1024


@dataclass(frozen=True, slots=True)
class LogBounds:
    """How much of its events one writer keeps."""

    most_bytes: int = 256 * 2**20
    longest: float = 30 * 86_400.0
    """Seconds."""

    @property
    def segment_bytes(self) -> int:
        """Small enough that removing one is no great loss."""
        return min(16 * 2**20, max(4096, self.most_bytes // 16))

    @property
    def segment_seconds(self) -> float:
        return min(86_400.0, self.longest / 4)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a log: behind the `offset`-th byte of a segment."""

    segment: int
    offset: int

    @classmethod
    def read(cls, text: str) -> Position:
        segment, offset = text.split(":")
        return cls(int(segment), int(offset))

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"


START: Final = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some events of a log, one after another."""

    events: Sequence[Event]
    after: Position
    """Behind the last of them."""


class EventLog:
    """One writer's log, open and locked; used from one thread. Every method may raise OSError."""

    def __init__(self, folder: Path, lock: IO[bytes], bounds: LogBounds) -> None:
        """See `claim` and `unclaimed`."""
        self._folder = folder
        self._lock = lock
        self._bounds = bounds
        self.name = _name_of(folder)
        """Known to the store of the windows, and to no other log."""
        existing = self._segments()
        self._last = existing[-1] if existing else 0
        self._end = Position(self._last, self._size(self._last))
        self._file: int | None = None
        self._began = 0.0
        self._unsynced = False

    @classmethod
    def claim(cls, parent: Path, bounds: LogBounds, *, besides: Path | None = None) -> Self:
        """The first log in `parent` that nobody writes, or a new one; not the one in `besides`.

        So a worker that is started in a dead one's place goes on with its log.
        """
        for number in range(_MOST_WRITERS):
            folder = parent / f"{_FOLDER}{number}"
            if folder == besides:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
            if lock is not None:
                return cls(folder, lock, bounds)
        raise OSError(f"all {_MOST_WRITERS} logs in {parent} are being written")

    @classmethod
    def unclaimed(cls, parent: Path, bounds: LogBounds) -> Iterator[Self]:
        """Each log in `parent` that nobody writes now, claimed while it is looked at."""
        for folder in sorted(parent.glob(f"{_FOLDER}*")):
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
        return self._folder

    def append(self, events: Sequence[Event]) -> None:
        """Write events behind the others; where it raises, none of them counts as written."""
        self._rotate_if_due()
        if self._file is None:
            self._begin_segment()
        assert self._file is not None  # noqa: S101 - just opened
        content = b"".join(map(line_of, events))
        try:
            _write_all(self._file, content)
        except OSError:
            self._take_back()
            raise
        self._unsynced = True
        self._end = Position(self._last, self._end.offset + len(content))

    def sync(self) -> None:
        """Put on the disk what was written."""
        if self._unsynced and self._file is not None:
            os.fdatasync(self._file)
            self._unsynced = False

    def read(self, after: Position, most: int, until: Position | None = None) -> Excerpt:
        """At most `most` events behind `after`, up to `until` (None: the end); none there."""
        events: list[Event] = []
        at = after
        while len(events) < most and at < (until or self._end):
            following = self._next_segment(at)
            if following is not None:
                at = following
                continue
            chunk = self._chunk(at)
            lines = chunk.split(b"\n")
            if len(lines) == 1:
                # No end of a line in sight: a torn last line, or no text at all.
                _note_unreadable(self._folder, at)
                at = Position(at.segment, at.offset + len(chunk))
                continue
            for line in lines[:-1]:
                at_line, at = at, Position(at.segment, at.offset + len(line) + 1)
                try:
                    events.append(event_of(line))
                except UnreadableLine:
                    _note_unreadable(self._folder, at_line)
                if len(events) == most:
                    break
        return Excerpt(events, at)

    def count(self, after: Position) -> int:
        """Lines behind `after`."""
        lines = 0
        for number in self._segments():
            if number >= after.segment:
                with self._path(number).open("rb") as segment:
                    segment.seek(after.offset if number == after.segment else 0)
                    while chunk := segment.read(_CHUNK):
                        lines += chunk.count(b"\n")
        return lines

    def prune(self, delivered: Position, lost: Callable[[Event], None]) -> None:
        """Remove the segments that are too old or too many; `lost` is told of events in them that lie
        behind `delivered`."""
        segments = self._segments()
        total = sum(map(self._size, segments))
        now = time.time()
        for number in segments:
            if number == self._last and self._file is not None:
                return
            path = self._path(number)
            if total <= self._bounds.most_bytes and now - path.stat().st_mtime <= self._bounds.longest:
                return
            at, its_end = max(delivered, Position(number, 0)), Position(number, self._size(number))
            while at < its_end:
                excerpt = self.read(at, 1000, its_end)
                for event in excerpt.events:
                    lost(event)
                at = excerpt.after
            total -= self._size(number)
            path.unlink()
            if number == self._last:
                self._end = Position(number, 0)
            logger.info("events_pruned", log=self.name, segment=number)

    def close(self) -> None:
        """Put everything on the disk and let go of the log."""
        try:
            self._end_segment()
        finally:
            self._lock.close()

    def _rotate_if_due(self) -> None:
        full = self._end.offset >= self._bounds.segment_bytes
        if self._file is not None and (full or time.time() - self._began >= self._bounds.segment_seconds):
            self._end_segment()

    def _begin_segment(self) -> None:
        # Always a new one: the last one may end in a torn line.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path(self._last + 1), flags, 0o640)
        self._last += 1
        self._began = time.time()
        self._end = Position(self._last, 0)
        _sync_folder(self._folder)

    def _end_segment(self) -> None:
        if self._file is not None:
            try:
                self.sync()
            finally:
                os.close(self._file)
                self._file = None

    def _take_back(self) -> None:
        """Cut off what a failed write has left; where that fails as well, leave the segment alone."""
        assert self._file is not None  # noqa: S101 - it was written to
        try:
            os.ftruncate(self._file, self._end.offset)
        except OSError:
            os.close(self._file)
            self._file = None
            self._end = Position(self._last, self._size(self._last))

    def _next_segment(self, at: Position) -> Position | None:
        """The start of the next segment, where `at` is the end of its own or its own is gone."""
        if at.segment == self._last or at.offset < self._size(at.segment):
            return None
        following = [number for number in self._segments() if number > at.segment]
        return Position(following[0], 0) if following else self._end

    def _chunk(self, at: Position) -> bytes:
        most = _CHUNK if at.segment < self._last else min(_CHUNK, self._end.offset - at.offset)
        with self._path(at.segment).open("rb") as segment:
            segment.seek(at.offset)
            return segment.read(most)

    def _segments(self) -> list[int]:
        numbers = (path.name.removesuffix(_SEGMENT) for path in self._folder.glob(f"*{_SEGMENT}"))
        return sorted(int(number) for number in numbers if number.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}{_SEGMENT}"

    def _size(self, number: int) -> int:
        try:
            return self._path(number).stat().st_size
        except FileNotFoundError:
            return 0


def _locked(folder: Path) -> IO[bytes] | None:
    lock = (folder / _LOCK).open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _name_of(folder: Path) -> str:
    """Drawn once, and kept beside the segments."""
    file = folder / _NAME
    if file.exists() and _DRAWN.fullmatch(name := file.read_text("utf-8", "replace").strip()):
        return name
    name = uuid.uuid4().hex
    fresh = folder / f"{_NAME}.new"
    fresh.write_text(f"{name}\n", "utf-8")
    fresh.replace(file)
    return name


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _note_unreadable(folder: Path, at: Position) -> None:
    logger.warning("event_unreadable", log=str(folder), position=str(at))
