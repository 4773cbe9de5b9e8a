"""Files that `demur logs` reads: one that the service writes to, and the older ones beside it."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final, Self

from demur.errors import InterfaceError
from service.logs.file import older

_POLL: Final = 0.25
"""Seconds between two looks at the files."""


class NoLog(InterfaceError):
    """There is no log where one is looked for."""


def lines_of_input() -> Iterator[bytes]:
    """Lines of standard input, as they come."""
    return (line.rstrip(b"\r\n") for line in sys.stdin.buffer)


def batches_of(path: Path, *, follow: bool) -> Iterator[Iterator[bytes]]:
    """The lines of a log that are there, and with `follow` time and again those that have come. `-` is
    standard input. Raises NoLog."""
    if path == Path("-"):
        yield lines_of_input()
        return
    with LogReader(path) as reader:
        yield reader.lines(complete=follow)
        while follow:
            time.sleep(_POLL)
            yield reader.lines(complete=True)


class LogReader:
    """Lines of a log in the order of their writing, while the service goes on and sets files aside."""

    def __init__(self, path: Path) -> None:
        """Raises NoLog."""
        if not path.exists():
            raise NoLog(
                f"there is no log at {path}; name its file, or - for standard input. Without a file the "
                "service writes to standard error: demur serve ... 2>&1 | demur logs -"
            )
        self._path = path
        self._open: list[BinaryIO] = []
        self._last: BinaryIO | None = None
        """The newest file read so far"""
        self._begun = b""
        """A line of it that has no end yet"""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close(None)

    def lines(self, *, complete: bool = False) -> Iterator[bytes]:
        """Lines that no earlier call has given; `complete`: without a last one that has no end yet."""
        newer = self._newer()
        # Afterwards: once there is a newer file, nothing is added to this one.
        if self._last is not None:
            yield from self._rest(self._last)
        for file in newer:
            if self._begun:
                yield self._take_begun()
            self._last = file
            yield from self._rest(file)
        self._close(self._last)
        if self._begun and not complete:
            yield self._take_begun()

    def _newer(self) -> list[BinaryIO]:
        """Files after the newest one read so far, the oldest first; all of them if none has been read."""
        found: dict[int, BinaryIO] = {}
        moved = self._last is not None
        for number, file in self._opened():
            if self._last is not None and _same(file, self._last):
                moved = False
                break
            found[number] = file
        # If another program has moved or deleted that file, the older ones have been read.
        return [found[number] for number in sorted(found, reverse=True) if not (moved and number)]

    def _opened(self) -> Iterator[tuple[int, BinaryIO]]:
        """The files by number from the newest on, 0 for the one at the path. In this order a file that is set
        aside meanwhile is met again, and none is missed."""
        before: BinaryIO | None = None
        for number in count():
            try:
                file = (older(self._path, number) if number else self._path).open("rb")
            except FileNotFoundError:
                if number:
                    return
                continue
            self._open.append(file)
            if before is None or not _same(file, before):
                yield number, file
            before = file

    def _close(self, kept: BinaryIO | None) -> None:
        """Close every file but one."""
        for file in self._open:
            if file is not kept:
                file.close()
        self._open = [] if kept is None else [kept]

    def _rest(self, file: BinaryIO) -> Iterator[bytes]:
        facts = os.fstat(file.fileno())
        if stat.S_ISREG(facts.st_mode) and facts.st_size < file.tell():  # Another program has emptied it.
            file.seek(0)
        for line in file:
            self._begun += line
            if line.endswith(b"\n"):
                yield self._take_begun()

    def _take_begun(self) -> bytes:
        line, self._begun = self._begun, b""
        return line.rstrip(b"\r\n")


def _same(file: BinaryIO, other: BinaryIO) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), os.fstat(other.fileno()))
