"""Standard output or standard error as the place of log lines, which several workers share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from select import PIPE_BUF
from typing import Any

from service.choices import LogStreamName


class LogStream:
    """Whole lines on a stream.

    A pipe takes up to PIPE_BUF bytes (4 KiB on Linux) in one piece; of more, other workers' lines may come
    in between if its reader is slow. So lines are written in pieces below that size; only a line that is
    longer by itself may be torn. The stream may be a file on a full disk, or a pipe whose reader is gone:
    lines that it does not take are lost, because a log must never fail what it reports.
    """

    def __init__(self, name: LogStreamName) -> None:
        self._name = name

    def append(self, lines: bytes) -> None:
        """Write whole lines."""
        stream = getattr(sys, self._name)  # not kept: it may be replaced
        if stream is None:  # The process was started without it.
            return
        with suppress(OSError, ValueError):
            stream.flush()
            # Unbuffered: what a buffer cannot write, Python tries again while it exits, and complains.
            raw = getattr(stream.buffer, "raw", stream.buffer)
            for piece in _pieces(lines):
                _write_all(raw, piece)


def _pieces(lines: bytes) -> Iterator[bytes]:
    """The lines in pieces of whole lines, each of at most PIPE_BUF bytes if its lines allow it."""
    start = 0
    while len(lines) - start > PIPE_BUF:
        end = lines.rfind(b"\n", start, start + PIPE_BUF) + 1 or lines.find(b"\n", start) + 1 or len(lines)
        yield lines[start:end]
        start = end
    if start < len(lines):
        yield lines[start:]


def _write_all(raw: Any, piece: bytes) -> None:
    written = raw.write(piece) or 0
    while 0 < written < len(piece):
        piece = piece[written:]
        written = raw.write(piece) or 0
