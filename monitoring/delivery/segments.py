"""The files of an event log: numbered segments in one folder, `000000000001.jsonl` and so on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_SUFFIX: Final = ".jsonl"
_CHUNK: Final = 256 * 2**10
"""Bytes read at a time; a line is far shorter."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a log: after the first `offset` bytes of a segment."""

    segment: int
    offset: int

    @classmethod
    def read(cls, text: str) -> Position:
        """The position that `str` wrote. Raises ValueError."""
        segment, offset = text.split(":")
        return cls(int(segment), int(offset))

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"


START: Final = Position(0, 0)


class Segments:
    """The segments in one folder. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self) -> list[int]:
        """Numbers of the segments, in ascending order."""
        names = (path.name.removesuffix(_SUFFIX) for path in self.folder.glob(f"*{_SUFFIX}"))
        return sorted(int(name) for name in names if name.isdigit())

    def path(self, number: int) -> Path:
        return self.folder / f"{number:012d}{_SUFFIX}"

    def size(self, number: int) -> int:
        """Bytes of a segment; 0 if it does not exist."""
        try:
            return self.path(number).stat().st_size
        except FileNotFoundError:
            return 0

    def written_at(self, number: int) -> float:
        """Unix time of the last write to a segment; 0 if it does not exist."""
        try:
            return self.path(number).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def chunk(self, at: Position, end: Position) -> bytes:
        """The bytes from `at` on, up to a bound of their number; none of them beyond `end`."""
        most = _CHUNK if at.segment < end.segment else min(_CHUNK, end.offset - at.offset)
        with self.path(at.segment).open("rb") as segment:
            segment.seek(at.offset)
            return segment.read(most)

    def count_lines(self, after: Position) -> int:
        """Number of line ends after a position."""
        lines = 0
        for number in self.numbers():
            if number >= after.segment:
                with self.path(number).open("rb") as segment:
                    segment.seek(after.offset if number == after.segment else 0)
                    while chunk := segment.read(_CHUNK):
                        lines += chunk.count(b"\n")
        return lines


class SegmentWriter:
    """A new segment, open for appending."""

    def __init__(self, file: int) -> None:
        """`file`: descriptor of the empty file. See `create`."""
        self.size = 0
        """Bytes that count as written."""
        self._file = file
        self._unsynced = False

    @classmethod
    def create(cls, path: Path) -> Self:
        """Create the file at `path`. Raises OSError, also if it exists already."""
        return cls(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640))

    def append(self, content: bytes) -> None:
        """Hand all of `content` to the system. If it raises OSError, part of it may have been written."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._unsynced = True
        self.size += len(content)

    def cut_to_size(self) -> None:
        """Remove what a failed `append` has left behind `size`. Raises OSError."""
        os.ftruncate(self._file, self.size)

    def sync(self) -> None:
        """Put on the disk what has been written. Raises OSError."""
        if self._unsynced:
            os.fdatasync(self._file)
            self._unsynced = False

    def close(self, *, sync: bool = True) -> None:
        """Close the file, after `sync` unless it is switched off. Raises OSError."""
        try:
            if sync:
                self.sync()
        finally:
            os.close(self._file)


def sync_folder(folder: Path) -> None:
    """Put on the disk the names in a folder. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
