"""One round of the recorder's thread: write to the log, ask the store, deliver, adopt abandoned logs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import structlog

from monitoring.delivery.backoff import Backoff
from monitoring.delivery.delivery import Delivery, LogUnreadable, apply_one_by_one
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.delivery.log_writer import LogWriter
from monitoring.events import Event
from monitoring.store.contract import EventOutcome, EventRefused, EventSink, StoreUnavailable

logger = structlog.get_logger("demur.recorder")

_SLICE: Final = 0.1
"""Seconds of delivery after which newly recorded events are written to the log first."""
_SHORT_PAUSE: Final = 0.01
"""Seconds between two rounds while events arrive faster than a slice of time delivers them."""


class RecorderObserver(Protocol):
    """Receiver of the events' outcomes; called from the recorder's thread or from `Recorder.record`."""

    def delivered(self, event: Event, outcome: EventOutcome) -> None:
        """The store has the event."""

    def dropped(self, event: Event) -> None:
        """The event is lost: no room was left for it, or the store refused it."""

    def unlogged(self, event: Event) -> None:
        """The store has the event, but no log does: a store that loses its memory cannot get it again."""


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """Capacity and times of a recorder. Raises ValueError."""

    capacity: int = 50_000
    """Events that the buffer holds."""
    batch: int = 256
    """Events sent to the store at a time."""
    interval: float = 0.1
    """Seconds between two rounds, each of which writes to the log; also the first pause after a failure."""
    deliver_every: float = 1.0
    """Seconds between two deliveries to the store, unless `batch` events are waiting."""
    longest_pause: float = 2.0
    """Seconds; bound of the growing pause after failed deliveries, or failed writes to the log."""
    ping_every: float = 1.0
    """Seconds without a delivery after which the store is asked for its position."""
    adopt_every: float = 10.0
    """Seconds between two searches for logs that dead workers have left undelivered."""

    def __post_init__(self) -> None:
        if self.capacity < 1 or self.batch < 1:
            raise ValueError(
                f"capacity is {self.capacity} and batch is {self.batch}; both must be at least 1"
            )


class DeliveryRound:
    """The work of one round, and the state between rounds; used from one thread."""

    def __init__(
        self,
        events: deque[Event],
        sink: EventSink,
        observer: RecorderObserver,
        options: RecorderOptions,
        stopping: threading.Event,
        awaited: deque[Future[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`events`: the recorder's buffer; `stopping`: set once the recorder is to end; `awaited`: done once
        the events recorded before them have left the buffer."""
        self.connected: bool | None = None
        """Whether the store answered the last time; None before the first try."""
        self._events = events
        self._sink = sink
        self._observer = observer
        self._options = options
        self._stopping = stopping
        self._awaited = awaited
        self._clock = clock
        self._writer: LogWriter | None = None
        self._backoff = Backoff(options.interval, options.longest_pause)
        self._deliver_at = self._last_contact = float("-inf")
        # Not at once: a worker that is just being started claims its own log first.
        self._adopted = clock()

    def write_log(self, logs: Path, bounds: LogBounds) -> None:
        """Write the events to a log of this worker in folder `logs`, before they are delivered."""
        self._writer = LogWriter(
            logs,
            bounds,
            self._sink,
            self._observer.dropped,
            backoff=Backoff(self._options.interval, self._options.longest_pause),
            clock=self._clock,
        )

    @property
    def waiting(self) -> int:
        """Number of events that the store does not have yet."""
        delivery = self._delivery
        return len(self._events) + (0 if delivery is None else delivery.waiting)

    @property
    def log_works(self) -> bool | None:
        """Whether the last try to write to the log succeeded; None if there is no log."""
        return None if self._writer is None else self._writer.works

    @property
    def rebuilding(self) -> bool:
        """Whether the store is receiving again what it had forgotten."""
        delivery = self._delivery
        return delivery is not None and delivery.rebuilding

    @property
    def pause(self) -> float:
        """Seconds until the next round. A rebuild, which may take minutes, leaves others half of the time."""
        behind = self.connected and not self.rebuilding and self.waiting >= self._options.batch
        return min(_SHORT_PAUSE, self._options.interval) if behind else self._options.interval

    @property
    def _delivery(self) -> Delivery | None:
        return None if self._writer is None else self._writer.delivery

    def run(self) -> None:
        """Write to the log, and deliver if that is due. Raises nothing: the thread goes on."""
        self.write()
        now = self._clock()
        due = now >= self._deliver_at or self.waiting >= self._options.batch or self._stopping.is_set()
        # What waits to be safe waits for the store if there is no log.
        due = due or (bool(self._awaited) and not self.log_works)
        if due and self._backoff.is_over(now):
            self._deliver_at = now + self._options.deliver_every
            self._note_connected(*self._try_to_deliver())

    def write(self) -> None:
        """Move the buffer to the log, if there is one."""
        if self._writer is not None:
            awaited = len(self._awaited)
            self._writer.write(self._events)
            if self._writer.works:
                self._settle(awaited)

    def end_pauses(self) -> None:
        """Make the next round try the log and the store at once, also shortly after a failure."""
        self._backoff.reset()
        if self._writer is not None:
            self._writer.end_pause()

    def close(self) -> None:
        """Release the log; what it holds is delivered by the next start."""
        if self._delivery is not None and self._delivery.waiting:
            logger.warning("events_left_for_the_next_start", count=self._delivery.waiting)
        if self._writer is not None:
            self._writer.close()

    def _try_to_deliver(self) -> tuple[bool, str | None]:
        """Whether the store took the waiting events, and otherwise the reason."""
        try:
            self._deliver()
        except LogUnreadable as error:
            if self._writer is not None:
                self._writer.abandon(str(error))
        except StoreUnavailable as error:
            self._backoff.failed(self._clock())
            return False, str(error)
        except Exception as error:
            logger.exception("delivery_failed")
            self._backoff.failed(self._clock())
            return False, f"{type(error).__name__}: {error}"
        self._backoff.reset()
        return True, None

    def _deliver(self) -> None:
        """Send the waiting events, or as many of them as a slice of time allows."""
        now = self._clock()
        delivery = self._delivery
        if not self.connected or now - self._last_contact >= self._options.ping_every:
            # An idle service has to notice, too, that the store is away or has lost its memory.
            if delivery is None:
                self._sink.ping()
            else:
                delivery.ask()
            self._last_contact = self._clock()
        if delivery is not None:
            self._deliver_log(delivery)
            if delivery.waiting:
                return
        if self._writer is None or not self._writer.works:
            self._deliver_buffer()
        if self._writer is not None and now - self._adopted >= self._options.adopt_every:
            self._adopted = now
            self._adopt(self._writer)

    def _deliver_log(self, delivery: Delivery) -> None:
        until = self._clock() + _SLICE
        while outcomes := delivery.deliver(self._options.batch):
            self._report(outcomes)
            self._last_contact = self._clock()
            if self._last_contact > until:
                return

    def _deliver_buffer(self) -> None:
        """Send the buffer itself, since there is no log that it could be written to."""
        batch_size, awaited = self._options.batch, len(self._awaited)
        for _ in range(1 + len(self._events) // batch_size):
            batch = list(islice(self._events, batch_size))
            if not batch:
                break
            try:
                outcomes = self._sink.apply(batch)
            except StoreUnavailable:
                raise
            except Exception:
                outcomes = apply_one_by_one(self._sink, batch)
            for event in batch:
                self._events.popleft()
                if self._writer is not None:
                    self._observer.unlogged(event)
            self._report(zip(batch, outcomes, strict=True))
            self._last_contact = self._clock()
        self._settle(awaited)

    def _settle(self, awaited: int) -> None:
        """End the first `awaited` futures: the buffer has been emptied since they were asked for."""
        for _ in range(awaited):
            future = self._awaited.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _adopt(self, own: LogWriter) -> None:
        """Deliver what dead workers have left in their logs."""
        try:
            for log in EventLog.unclaimed(own.parent, own.bounds):
                try:
                    self._deliver_abandoned(log, own)
                except LogUnreadable as error:
                    logger.warning("abandoned_log_unreadable", log=str(log.folder), error=str(error))
        except OSError as error:
            logger.warning("abandoned_logs_unreadable", folder=str(own.parent), error=str(error))

    def _deliver_abandoned(self, log: EventLog, own: LogWriter) -> None:
        delivery = Delivery(log, self._sink)
        delivery.ask()
        while not self._stopping.is_set() and (outcomes := delivery.deliver(self._options.batch)):
            self._report(outcomes)
            # Newly recorded events need not wait for the whole of it.
            self.write()
            if own.delivery is not None:
                self._deliver_log(own.delivery)
        log.prune(delivery.position, self._observer.dropped)

    def _report(self, outcomes: Iterable[tuple[Event, EventOutcome | EventRefused]]) -> None:
        for event, outcome in outcomes:
            if isinstance(outcome, EventRefused):
                logger.error("event_refused", request_id=event.request_id, error=str(outcome))
                self._observer.dropped(event)
            else:
                self._observer.delivered(event, outcome)

    def _note_connected(self, connected: bool, error: str | None) -> None:
        if connected == self.connected:
            return
        self.connected = connected
        if connected:
            logger.info("store_connected", waiting=self.waiting)
        else:
            logger.warning("store_unreachable", error=error, waiting=self.waiting)
