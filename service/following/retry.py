"""Pauses after what has failed: longer each time, and none with another record."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

FIRST: Final = 1.0
"""Seconds before the first further try"""
LONGEST: Final = 60.0
"""Seconds before each later one, at most"""


class Retry:
    """When to try again what a record asks for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._number, self._at, self._pause = 0, 0.0, FIRST

    def due(self, number: int) -> bool:
        """Whether the record of this number may be tried now."""
        return number != self._number or self._clock() >= self._at

    def after(self, number: int, *, done: bool) -> None:
        """The record of this number was tried."""
        again = number == self._number and not done
        self._pause = min(2 * self._pause, LONGEST) if again else FIRST
        self._number, self._at = number, 0.0 if done else self._clock() + self._pause

    def reset(self) -> None:
        """Whatever failed may succeed now."""
        self._number, self._at, self._pause = 0, 0.0, FIRST
