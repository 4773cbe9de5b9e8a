"""File of log lines: several processes append to it, and its size is bounded.

A file that has grown beyond its limit becomes `NAME.1`, in the place of an earlier one, and a new one begins.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Final

_FLUSH_BYTES: Final = 64 * 2**10
"""Lines that wait for their flush, at most; more are written at once."""


class LogFile:
    """Append-only file of whole lines.

    A log must never fail what it reports: lines that cannot be written, because the disk is full or the
    folder read-only, are lost, and standard error says so once.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """`max_bytes`: size of the file, and again of the older one beside it."""
        self._path = path
        self._max_bytes = max_bytes
        self._file: FileIO | None = None
        self._waiting = bytearray()
        self._lock = Lock()
        self._reported = False

    def write(self, lines: bytes) -> None:
        """Take whole lines; they are written with the next flush."""
        with self._lock:
            self._waiting += lines
            full = len(self._waiting) >= _FLUSH_BYTES
        if full:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait."""
        with self._lock:
            lines, self._waiting = bytes(self._waiting), bytearray()
            if not lines:
                return
            try:
                self._append(lines)
            except OSError as error:
                self._report(error)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def _append(self, lines: bytes) -> None:
        file = self._opened()
        size = os.fstat(file.fileno()).st_size
        if size and size + len(lines) > self._max_bytes:
            self._set_aside(file)
            file = self._opened()
        # One call, so that the lines of several processes do not mix.
        written = file.write(lines) or 0
        while written < len(lines):
            written += file.write(lines[written:]) or 0

    def _opened(self) -> FileIO:
        """The file that is at the path now: another process may have set the one known here aside."""
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

    def _set_aside(self, file: FileIO) -> None:
        """Rename the file, unless another process has done so; a link or a device is never renamed."""
        if self._path.is_symlink() or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if self._is_at_path(file):
                with suppress(FileNotFoundError):  # Somebody has deleted it.
                    self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _report(self, error: OSError) -> None:
        if not self._reported:
            self._reported = True
            why = error.strerror or str(error)
            with suppress(OSError):  # It may be a file on the same disk.
                print(f"{self._path} cannot be written, so log lines are lost: {why}", file=sys.stderr)
