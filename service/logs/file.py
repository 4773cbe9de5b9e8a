"""File of log lines: several processes append to it, and its size is bounded.

A file that has grown beyond its limit becomes `NAME.1`, an earlier one `NAME.2` and so on; the oldest goes.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path


def older(path: Path, number: int) -> Path:
    """The older file of this number: 1 for the newest of them."""
    return path.with_name(f"{path.name}.{number}")


class LogFile:
    """Append-only file of whole lines.

    Every process holds a shared lock on the file that it writes to, and the one that renames it holds an
    exclusive lock. So no line goes to a file that has been set aside, and none is torn. A lock ends with its
    process.

    A log must never fail what it reports: lines that cannot be written, because the disk is full or the
    folder read-only, are lost, and standard error says so once.
    """

    def __init__(self, path: Path, max_bytes: int, files: int = 2) -> None:
        """`max_bytes`: size of a file; `files`: number of files, the one at the path included, at least 2."""
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._file: FileIO | None = None
        self._reported = False

    def append(self, lines: bytes) -> None:
        """Write whole lines; one call at a time."""
        try:
            if self._would_overflow(lines):
                self._set_aside()
            with self._current() as file:
                # One call, so that the lines of several processes do not mix.
                written = file.write(lines) or 0
                while written < len(lines):
                    written += file.write(lines[written:]) or 0
        except OSError as error:
            self._report(error)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _current(self) -> Iterator[FileIO]:
        """The file at the path, which stays there inside the context."""
        while True:
            file = self._opened()
            _lock(file, fcntl.LOCK_SH)
            try:
                # Another process may have set it aside before the lock.
                if self._is_at_path(file):
                    yield file
                    return
            finally:
                _lock(file, fcntl.LOCK_UN)

    def _opened(self) -> FileIO:
        """The file that is at the path now, a new one if there is none."""
        if self._file is not None:
            if self._is_at_path(self._file):
                return self._file
            self._file.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = FileIO(self._path, "ab")
        return self._file

    def _is_at_path(self, file: FileIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _would_overflow(self, lines: bytes) -> bool:
        size = os.fstat(self._opened().fileno()).st_size
        return size > 0 and size + len(lines) > self._max_bytes

    def _set_aside(self) -> None:
        """Rename the file, unless another process does so or is writing; then the next flush looks again.

        A link or a device is never renamed.
        """
        file = self._opened()
        if self._path.is_symlink() or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return
        if not _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return
        try:
            if self._is_at_path(file):
                self._rename()
        finally:
            _lock(file, fcntl.LOCK_UN)

    def _rename(self) -> None:
        """Move every file one number up, over the oldest one."""
        with suppress(FileNotFoundError):  # Somebody has deleted one of them.
            for number in range(self._files - 1, 1, -1):
                if older(self._path, number - 1).exists():
                    older(self._path, number - 1).replace(older(self._path, number))
            self._path.replace(older(self._path, 1))

    def _report(self, error: OSError) -> None:
        if not self._reported:
            self._reported = True
            why = error.strerror or str(error)
            with suppress(OSError):  # It may be a file on the same disk.
                print(f"{self._path} cannot be written, so log lines are lost: {why}", file=sys.stderr)


def _lock(file: FileIO, operation: int) -> bool:
    """Lock or unlock the file. Returns whether no other process is in the way."""
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        return False
    except OSError:  # A file system without locks; its lines are as whole as it keeps them.
        return True
    return True
