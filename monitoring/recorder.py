"""Takes events off the response path: a bounded buffer in the process, emptied by one thread.

`record` costs well under a microsecond and never waits. While the store is away the events stay in the
buffer, in their order, and go out when it is back; what does not fit is refused and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from monitoring.events import Event
from monitoring.windows import EventRefused, Outcome

logger = structlog.get_logger("demur.recorder")


class EventSink(Protocol):
    """Where events go; `monitoring.windows.RollingWindows` is one.

    `apply` may raise RedisError: the whole batch is then sent again, so it must be idempotent.
    """

    def apply(self, events: Sequence[Event]) -> list[Outcome | EventRefused]: ...

    def ping(self) -> None: ...


class RecorderObserver(Protocol):
    """What is told about the events' fate, from the recorder's thread or from the caller's."""

    def delivered(self, event: Event, outcome: Outcome) -> None: ...

    def dropped(self, event: Event) -> None: ...


class Recorder:
    """One buffer and its thread; `start` before use, `close` at the end."""

    def __init__(
        self,
        sink: EventSink,
        observer: RecorderObserver,
        *,
        capacity: int = 50_000,
        batch: int = 256,
        interval: float = 0.05,
        longest_pause: float = 2.0,
        ping_every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interval`: seconds between two deliveries; after a failure it doubles up to `longest_pause`."""
        if capacity < 1 or batch < 1:
            raise ValueError(f"capacity is {capacity} and batch is {batch}; both must be at least 1")
        self._sink = sink
        self._observer = observer
        self._capacity = capacity
        self._batch = batch
        self._interval = interval
        self._longest_pause = longest_pause
        self._ping_every = ping_every
        self._clock = clock
        self._events: deque[Event] = deque()
        self._stopping = threading.Event()
        self._deliver_until = float("inf")
        self._connected: bool | None = None
        self._last_contact = float("-inf")
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    @property
    def waiting(self) -> int:
        """Events in the buffer."""
        return len(self._events)

    @property
    def connected(self) -> bool | None:
        """Whether the store answered the last time; None before the first try."""
        return self._connected

    def start(self) -> None:
        self._thread.start()

    def record(self, event: Event) -> bool:
        """Keep `event` for delivery. False where the buffer is full: the event is dropped and counted.

        The newest are refused rather than the oldest pushed out, so that what was accepted is kept.
        """
        if len(self._events) >= self._capacity:
            self._observer.dropped(event)
            return False
        self._events.append(event)
        return True

    def close(self, timeout: float = 5.0) -> int:
        """Deliver what is waiting, for at most `timeout` seconds; how many events were left behind.

        Those left behind are counted as dropped.
        """
        self._deliver_until = self._clock() + timeout
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout + self._longest_pause)
        left = len(self._events)
        while self._events:
            self._observer.dropped(self._events.popleft())
        if left:
            logger.error("events_left_behind", count=left)
        return left

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.wait(pause):
            pause = self._interval if self._deliver() else min(2 * pause, self._longest_pause)
        while self._events and self._clock() < self._deliver_until:
            if not self._deliver():
                time.sleep(self._interval)

    def _deliver(self) -> bool:
        """Send everything that is waiting now, batch by batch; False where the store did not answer."""
        batch: list[Event] = []
        try:
            if not self._events:
                self._ping_if_due()
            for _ in range(1 + len(self._events) // self._batch):
                batch = list(islice(self._events, self._batch))
                if batch:
                    for event, outcome in zip(batch, self._sink.apply(batch), strict=True):
                        self._events.popleft()
                        self._settle(event, outcome)
                    self._last_contact = self._clock()
        except (RedisError, OSError) as error:
            self._note_connected(False, str(error))
            return False
        except Exception:
            # A fault of ours must neither stop the thread nor repeat itself for ever.
            logger.exception("event_not_deliverable", request_id=batch[0].request_id if batch else None)
            if self._events:
                self._observer.dropped(self._events.popleft())
            return False
        self._note_connected(True, None)
        return True

    def _ping_if_due(self) -> None:
        """An idle service still wants to know whether it is degraded."""
        if not self._connected or self._clock() - self._last_contact >= self._ping_every:
            self._sink.ping()
            self._last_contact = self._clock()

    def _settle(self, event: Event, outcome: Outcome | EventRefused) -> None:
        if isinstance(outcome, EventRefused):
            logger.error("event_refused", request_id=event.request_id, error=str(outcome))
            self._observer.dropped(event)
        else:
            self._observer.delivered(event, outcome)

    def _note_connected(self, connected: bool, error: str | None) -> None:
        if connected == self._connected:
            return
        self._connected = connected
        if connected:
            logger.info("store_connected", waiting=len(self._events))
        else:
            logger.warning("store_unreachable", error=error, waiting=len(self._events))
