"""Ctrl-C, SIGTERM and SIGHUP: the verb tidies up, and ends with one line and the exit code of a shell.

Without a handler SIGTERM would end the process where it is, and leave half-written files behind.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RESUMABLE = ("train", "demo", "pretrain", "compare")
"""Verbs that go on from the last finished step when they are called again"""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end.

    A class of its own: if a plain KeyboardInterrupt passes through `exec` (as in the definition of a
    dataclass), Python ends by SIGINT whatever exit code was asked for.
    """


class Interruption:
    """The signal that asked this process to end, if one has arrived."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, every signal that asks the process to end is an `Interrupted`.

        A signal that the parent ignores (nohup, a background job) stays ignored.
        """
        before = {number: signal.getsignal(number) for number in STOPS}
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """As a shell gives it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def sentence(self, verb: str) -> str:
        name = "interrupted" if self.number in (None, signal.SIGINT) else f"ended by {self._name}"
        return f"{name}; the same command goes on from there" if verb in RESUMABLE else name

    @property
    def _name(self) -> str:
        return signal.Signals(self.number or signal.SIGINT).name

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        raise Interrupted


def asked_verb() -> str:
    """The verb on the command line; empty without one."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")
