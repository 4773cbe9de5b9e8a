"""A command on a terminal of its own, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A context manager: inside, the command runs with a terminal as its input, output and errors."""

    def __init__(
        self,
        *words: str | Path,
        folder: Path,
        columns: int = 100,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [str(word) for word in words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1", **(environment or {})},
        )
        os.close(slave)
        self._shown = b""

    @property
    def shown(self) -> str:
        """Everything so far, without colours."""
        return _COLOURS.sub("", self._shown.decode("utf-8", "replace")).replace("\r\n", "\n")

    def read_until(self, text: str, timeout: float = 300.0) -> str:
        """Wait for a text. Returns everything so far."""
        due = time.monotonic() + timeout
        while text not in self.shown:
            assert self._read(due - time.monotonic()), f"{text!r} never came:\n{self.shown}"
        return self.shown

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def interrupt(self, timeout: float = 300.0) -> int:
        """Press Ctrl-C and wait for the end. Returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        due = time.monotonic() + timeout
        while self._read(due - time.monotonic()):
            pass
        return self.process.wait(timeout)

    def _read(self, timeout: float) -> bool:
        """Read what comes within the time; False at the end of the output or of the time."""
        if timeout <= 0 or not select.select([self._master], [], [], timeout)[0]:
            return False
        try:
            read = os.read(self._master, 2**16)
        except OSError:  # On Linux the end of a terminal is an error.
            return False
        self._shown += read
        return bool(read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)
