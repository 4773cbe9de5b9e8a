"""Threads that empty the outbox: one for receivers that work, one for those that fail.

Each sends one message at a time, so that a kill leaves few duplicates; after its first time a receiver that
hangs delays only others that fail as well.
"""

from __future__ import annotations

from threading import Event, Thread
from typing import Final

import structlog

from monitoring.alerts.outbox.outbox import Outbox

logger = structlog.get_logger("demur.alerts")

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks, for what other processes have added"""
_TIDY_EVERY: Final = 60
"""Looks between two times of tidying"""


class DeliveryThreads:
    """Started and stopped with the process."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._stopped = Event()
        self._wake = {failing: Event() for failing in (False, True)}
        self._threads = [
            # A process that ends does not wait for a receiver: what is not told now is told later.
            Thread(target=self._run, args=(failing,), name=f"alert-outbox-{number}", daemon=True)
            for number, failing in enumerate(self._wake)
        ]

    def start(self) -> None:
        """Begin to deliver, with what an earlier process has left."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Deliver what was just added at once."""
        self._wake[False].set()

    def stop(self, timeout: float) -> None:
        """End after the tries that are under way, at most `timeout` seconds."""
        self._stopped.set()
        for wake in self._wake.values():
            wake.set()
        for thread in self._threads:
            thread.join(timeout / len(self._threads))

    def _run(self, failing: bool) -> None:
        looks = 0
        while not self._stopped.is_set():
            try:
                if looks % _TIDY_EVERY == 0 and not failing:
                    self._outbox.tidy()
                tries = self._outbox.deliver_due(failing=failing)
            except Exception:
                # Nothing that one message does may end the delivery of the others.
                logger.exception("alert_outbox_failed")
                tries = 0
            looks += 1
            if not tries:
                self._wake[failing].wait(_LOOK_EVERY)
                self._wake[failing].clear()
