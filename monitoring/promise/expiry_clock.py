"""Clock by which audits expire: a jump of the system's clock expires nothing that had time left.

An audit without a label counts as wrong, or holds the monitor, once its wait is over. If the system's clock
jumps forward by more than the wait, every waiting audit would be overdue at once, and a promise that holds
would raise an alarm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_STEP: Final = 60.0
"""Seconds by which the system's clock may lead between two looks; more is a jump"""


class ExpiryClock:
    """Unix time that goes on evenly over a forward jump, until every audit from before it has had its wait.

    Then, and after a jump back, it is the system's time again. Used from one thread.
    """

    def __init__(self, wait: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`wait`: seconds that an audit waits for its label."""
        self._wait, self._monotonic = wait, monotonic
        self._looked: tuple[float, float] | None = None
        """Monotonic and own time of the last look"""
        self._jumped_at: float | None = None

    def at(self, now: float) -> float:
        """The time by which audits expire; `now`: the system's time, of this look."""
        mark = self._monotonic()
        even = now if self._looked is None else self._looked[1] + mark - self._looked[0]
        if now <= even + _STEP:
            self._jumped_at = None
            own = now
        else:
            self._jumped_at = mark if self._jumped_at is None else self._jumped_at
            over = mark - self._jumped_at >= self._wait
            own = now if over else even
        self._looked = (mark, own)
        return own
