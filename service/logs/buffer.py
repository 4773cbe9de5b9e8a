"""Buffer of log lines: the lines of many requests are written in one call."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

_FLUSH_BYTES: Final = 64 * 2**10
"""Lines that wait for their flush, at most; more are written at once."""


class LineBuffer:
    """Whole lines that wait for their flush; takes them from any thread."""

    def __init__(self, append: Callable[[bytes], None]) -> None:
        """`append` writes whole lines; one call at a time."""
        self._append = append
        self._waiting = bytearray()
        self._lock = Lock()

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
            if lines:
                self._append(lines)
