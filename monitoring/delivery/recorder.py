"""Takes events off the response path: a buffer in the process, emptied by one thread.

`record` costs well under a microsecond and never waits. The thread writes the events to the log on
disk, and from there delivers them to the store, in their order. While the store is away they stay in
the log; while the log cannot be written they stay in the buffer and go to the store directly; only
where neither can be had, and the buffer is full, is an event refused and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import structlog
from redis.exceptions import DataError, RedisError

from monitoring.delivery.backoff import Backoff
from monitoring.delivery.delivery import Delivery, EventSink, LogUnreadable, apply_one_by_one
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.delivery.log_writer import LogWriter
from monitoring.events import Event
from monitoring.windows.rolling import EventRefused, Outcome

logger = structlog.get_logger("demur.recorder")

_SLICE: Final = 0.1
"""Seconds of delivering after which what has come in meanwhile is written down first."""


class RecorderObserver(Protocol):
    """What is told about the events' fate, from the recorder's thread or from the caller's."""

    def delivered(self, event: Event, outcome: Outcome) -> None: ...

    def dropped(self, event: Event) -> None: ...

    def unlogged(self, event: Event) -> None:
        """It reached the store, but no log: a store that forgets it cannot be told again."""


class Recorder:
    """One buffer and its thread; `start` before use, `close` at the end."""

    def __init__(
        self,
        sink: EventSink,
        observer: RecorderObserver,
        *,
        logs: Path | None = None,
        bounds: LogBounds | None = None,
        capacity: int = 50_000,
        batch: int = 256,
        interval: float = 0.1,
        deliver_every: float = 1.0,
        longest_pause: float = 2.0,
        ping_every: float = 1.0,
        adopt_every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`logs`: folder of the event logs, shared with other workers; None: there is no log.

        `interval`: seconds between two rounds of the thread, which write to the log; `deliver_every`:
        between two deliveries to the store, unless `batch` events wait for one; after a failed delivery
        (or log) the next try comes later and later, up to `longest_pause`. `adopt_every`: seconds between
        two looks for logs that a worker which is no more has left undelivered.
        """
        if capacity < 1 or batch < 1:
            raise ValueError(f"capacity is {capacity} and batch is {batch}; both must be at least 1")
        self._sink = sink
        self._observer = observer
        self._capacity = capacity
        self._batch = batch
        self._interval = interval
        self._ping_every = ping_every
        self._adopt_every = adopt_every
        self._clock = clock
        self._events: deque[Event] = deque()
        self._writer: LogWriter | None = None
        if logs is not None:
            pause = Backoff(interval, longest_pause)
            self._writer = LogWriter(
                logs, bounds or LogBounds(), sink, observer.dropped, pause=pause, clock=clock
            )
        self._deliver_every = deliver_every
        self._deliver_at = self._last_contact = float("-inf")
        # Not at once: a worker that is just being started takes its own log.
        self._adopted = clock()
        self._pause = Backoff(interval, longest_pause)
        self._stopping = threading.Event()
        self._connected: bool | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._deliver_until = float("inf")

    @property
    def waiting(self) -> int:
        """Events that the store has not got yet."""
        delivery = self._delivery
        return len(self._events) + (0 if delivery is None else delivery.waiting)

    @property
    def connected(self) -> bool | None:
        """Whether the store answered the last time; None before the first try."""
        return self._connected

    @property
    def log_works(self) -> bool | None:
        """Whether the events could be written down the last time; None where there is no log."""
        return None if self._writer is None else self._writer.works

    @property
    def rebuilding(self) -> bool:
        """Whether the store is being told again what it had forgotten."""
        delivery = self._delivery
        return delivery is not None and delivery.rebuilding

    @property
    def _delivery(self) -> Delivery | None:
        return None if self._writer is None else self._writer.delivery

    def start(self) -> None:
        self._thread.start()

    def record(self, event: Event) -> bool:
        """Keep `event`. False where the buffer is full: the event is dropped and counted.

        The newest are refused rather than the oldest pushed out, so that what was accepted is kept.
        """
        if len(self._events) >= self._capacity:
            self._observer.dropped(event)
            return False
        self._events.append(event)
        return True

    def close(self, timeout: float = 5.0) -> int:
        """Write down what is in the buffer, and deliver for at most `timeout` seconds; how many are lost.

        What is in the log and could not be delivered is no loss: the next start delivers it.
        """
        self._deliver_until = self._clock() + timeout
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout + self._pause.longest)
        lost = len(self._events)
        while self._events:
            self._observer.dropped(self._events.popleft())
        if lost:
            logger.error("events_left_behind", count=lost)
        return lost

    def _run(self) -> None:
        # The first one at once: until the store has answered, the service calls itself degraded.
        self._round()
        while not self._stopping.wait(self._interval):
            self._round()
        # What waits longer before it is tried again is tried once more now.
        self._pause.reset()
        if self._writer is not None:
            self._writer.try_again()
        self._write()
        while self.waiting and self._clock() < self._deliver_until:
            self._round()
            if not self._connected:
                if not self._events:
                    break  # All is in the log, for the next start.
                time.sleep(self._interval)
        if self._delivery is not None and self._delivery.waiting:
            logger.warning("events_left_for_the_next_start", count=self._delivery.waiting)
        if self._writer is not None:
            self._writer.close()

    def _round(self) -> None:
        self._write()
        now = self._clock()
        due = now >= self._deliver_at or self.waiting >= self._batch or self._stopping.is_set()
        if due and self._pause.over(now):
            self._deliver_at = now + self._deliver_every
            self._note_connected(*self._outcome_of_delivery())

    def _write(self) -> None:
        if self._writer is not None:
            self._writer.write(self._events)

    def _deliver(self) -> None:
        """Send what is waiting now, or as much of it as a slice of time allows."""
        now = self._clock()
        delivery = self._delivery
        if not self._connected or now - self._last_contact >= self._ping_every:
            # An idle service still wants to know whether it is degraded, and whether the store forgot.
            if delivery is None:
                self._sink.ping()
            else:
                delivery.ask()
            self._last_contact = self._clock()
        if delivery is not None:
            self._drain(delivery)
            if delivery.waiting:
                return
        if self._writer is None or not self._writer.works:
            self._deliver_buffer()
        if self._writer is not None and now - self._adopted >= self._adopt_every:
            self._adopted = now
            self._adopt(self._writer)

    def _drain(self, delivery: Delivery) -> None:
        until = self._clock() + _SLICE
        while settled := delivery.step(self._batch):
            self._settle(settled)
            self._last_contact = self._clock()
            if self._last_contact > until:
                return

    def _deliver_buffer(self) -> None:
        """Send what is in the buffer itself, since there is no log that it could go to."""
        for _ in range(1 + len(self._events) // self._batch):
            batch = list(islice(self._events, self._batch))
            if not batch:
                return
            try:
                outcomes = self._sink.apply(batch)
            except (RedisError, OSError) as error:
                if not isinstance(error, DataError):
                    raise
                outcomes = apply_one_by_one(self._sink, batch)
            except Exception:
                outcomes = apply_one_by_one(self._sink, batch)
            for event in batch:
                self._events.popleft()
                if self._writer is not None:
                    self._observer.unlogged(event)
            self._settle(zip(batch, outcomes, strict=True))
            self._last_contact = self._clock()

    def _adopt(self, own: LogWriter) -> None:
        """Deliver what workers that are no more have left in their logs."""
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
        while not self._stopping.is_set() and (settled := delivery.step(self._batch)):
            self._settle(settled)
            # What comes in meanwhile need not wait for all of it.
            self._write()
            if own.delivery is not None:
                self._drain(own.delivery)
        log.prune(delivery.position, self._observer.dropped)

    def _settle(self, settled: Iterable[tuple[Event, Outcome | EventRefused]]) -> None:
        for event, outcome in settled:
            if isinstance(outcome, EventRefused):
                logger.error("event_refused", request_id=event.request_id, error=str(outcome))
                self._observer.dropped(event)
            else:
                self._observer.delivered(event, outcome)

    def _outcome_of_delivery(self) -> tuple[bool, str | None]:
        """Whether the store took what there was, and why not. Whatever happens, the thread goes on."""
        try:
            self._deliver()
        except LogUnreadable as error:
            if self._writer is not None:
                self._writer.give_up(str(error))
        except (RedisError, OSError) as error:
            self._pause.failed(self._clock())
            return False, str(error)
        except Exception as error:
            logger.exception("delivery_failed")
            self._pause.failed(self._clock())
            return False, f"{type(error).__name__}: {error}"
        self._pause.reset()
        return True, None

    def _note_connected(self, connected: bool, error: str | None) -> None:
        if connected == self._connected:
            return
        self._connected = connected
        if connected:
            logger.info("store_connected", waiting=self.waiting)
        else:
            logger.warning("store_unreachable", error=error, waiting=self.waiting)
