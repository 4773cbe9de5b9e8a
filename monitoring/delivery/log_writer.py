"""Writing from a worker's buffer to its event log, also while the disk is full or missing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from monitoring.delivery.backoff import Backoff
from monitoring.delivery.delivery import Delivery
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.events import Event
from monitoring.store.contract import EventSink

logger = structlog.get_logger("demur.events")

_SYNC_EVERY: Final = 1.0
"""Seconds; the most that the death of the machine loses."""
_PRUNE_EVERY: Final = 60.0
_AT_A_TIME: Final = 1024


class LogWriter:
    """The log of one worker, claimed as soon as that is possible; used from one thread."""

    def __init__(
        self,
        parent: Path,
        bounds: LogBounds,
        sink: EventSink,
        lost: Callable[[Event], None],
        *,
        backoff: Backoff,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lost` is called with each event that has to be removed before it is delivered."""
        self.parent = parent
        self.bounds = bounds
        self.works: bool | None = None
        """Whether the last try to write succeeded; None before the first."""
        self.delivery: Delivery | None = None
        """From the log to the store; None while there is no log."""
        self._sink = sink
        self._lost = lost
        self._backoff = backoff
        self._clock = clock
        self._log: EventLog | None = None
        self._unreadable: Path | None = None
        """Folder of the log that was abandoned last; it is read again as an unclaimed one."""
        self._synced = self._pruned = clock()

    def write(self, buffer: deque[Event]) -> None:
        """Move everything from the buffer to the log; if that fails, it stays in the buffer."""
        if not self._backoff.is_over(self._clock()):
            return
        try:
            if self._log is None:
                log = EventLog.claim(self.parent, self.bounds, besides=self._unreadable)
                self.delivery = Delivery(log, self._sink)
                self._log = log
            self._move(buffer, self._log)
            self._sync_and_prune(self._log)
        except OSError as error:
            self._backoff.failed(self._clock())
            self._note(False, str(error))
        except Exception as error:
            # One event cannot be written as a line: the buffer's events go to the store directly.
            logger.exception("event_log_failed")
            self._backoff.failed(self._clock())
            self._note(False, f"{type(error).__name__}: {error}")
        else:
            self._backoff.reset()
            self._note(True, None)

    def abandon(self, reason: str) -> None:
        """Leave a log that cannot be read any more (removed, or on a failing disk) for a new one."""
        if self.delivery is not None and self.delivery.waiting:
            logger.error("events_unreadable", count=self.delivery.waiting)
        self._note(False, reason)
        self._unreadable = None if self._log is None else self._log.folder
        self.close()

    def end_pause(self) -> None:
        """Make the next `write` try at once, also shortly after a failure."""
        self._backoff.reset()

    def close(self) -> None:
        """Put everything on the disk and release the log."""
        if self._log is not None:
            with suppress(OSError):
                self._log.close()
        self._log = self.delivery = None

    def _move(self, buffer: deque[Event], log: EventLog) -> None:
        while events := list(islice(buffer, _AT_A_TIME)):
            log.append(events)
            for _ in events:
                buffer.popleft()
            if self.delivery is not None:
                self.delivery.added(len(events))

    def _sync_and_prune(self, log: EventLog) -> None:
        now = self._clock()
        if now - self._synced >= _SYNC_EVERY:
            log.sync()
            self._synced = now
        if now - self._pruned >= _PRUNE_EVERY and self.delivery is not None:
            log.prune(self.delivery.position, self._lost)
            self._pruned = now

    def _note(self, works: bool, error: str | None) -> None:
        if works == self.works:
            return
        if not works:
            logger.error("event_log_unwritable", folder=str(self.parent), error=error)
        elif self.works is not None:
            logger.info("event_log_works_again", folder=str(self.parent))
        self.works = works
