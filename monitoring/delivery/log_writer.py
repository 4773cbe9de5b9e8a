"""Brings events from a worker's buffer to its log, and lives with a disk that is full or not to be had."""

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
from monitoring.delivery.delivery import Delivery, EventSink
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.events import Event

logger = structlog.get_logger("demur.events")

_SYNC_EVERY: Final = 1.0
"""Seconds; what a machine that fails may lose."""
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
        pause: Backoff,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lost` is told of events that had to be removed before they could be delivered."""
        self.parent = parent
        self.bounds = bounds
        self.works: bool | None = None
        """Whether the events could be written the last time; None before the first try."""
        self.delivery: Delivery | None = None
        """From the log to the store; None while there is no log."""
        self._sink = sink
        self._lost = lost
        self._pause = pause
        self._clock = clock
        self._log: EventLog | None = None
        self._unreadable: Path | None = None
        """The log that was given up last; whoever looks after abandoned ones tries it again."""
        self._synced = self._pruned = clock()

    def write(self, buffer: deque[Event]) -> None:
        """Move everything from the buffer to the log; where that fails, it stays in the buffer."""
        if not self._pause.over(self._clock()):
            return
        try:
            if self._log is None:
                log = EventLog.claim(self.parent, self.bounds, besides=self._unreadable)
                self.delivery = Delivery(log, self._sink)
                self._log = log
            self._move(buffer, self._log)
            self._keep(self._log)
        except OSError as error:
            self._pause.failed(self._clock())
            self._note(False, str(error))
        except Exception as error:
            # A fault of ours, brought about by one event: what is in the buffer goes to the store directly.
            logger.exception("event_log_failed")
            self._pause.failed(self._clock())
            self._note(False, f"{type(error).__name__}: {error}")
        else:
            self._pause.reset()
            self._note(True, None)

    def give_up(self, why: str) -> None:
        """The log cannot be read any more: somebody has removed it, or the disk fails. Take a new one."""
        if self.delivery is not None and self.delivery.waiting:
            logger.error("events_unreadable", count=self.delivery.waiting)
        self._note(False, why)
        self._unreadable = None if self._log is None else self._log.folder
        self.close()

    def try_again(self) -> None:
        """Do not wait for the next try any longer."""
        self._pause.reset()

    def close(self) -> None:
        """Put everything on the disk and let go of the log."""
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

    def _keep(self, log: EventLog) -> None:
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
