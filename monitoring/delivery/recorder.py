"""The recorder of events: a buffer off the response path, and the thread that empties it.

`record` costs well under a microsecond and never waits; a sender that must not lose an event waits for
`settled`. The thread writes the events to the log on disk, and delivers them from there to the store, in
their order. While the store is away, they stay in the log; while the log cannot be written, they stay in the
buffer and go to the store directly. An event is refused, and counted, only if neither is available and the
buffer is full.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import structlog

from monitoring.delivery.delivery_round import DeliveryRound, RecorderObserver, RecorderOptions
from monitoring.delivery.event_log import LogBounds
from monitoring.events import Event
from monitoring.store.contract import EventSink

logger = structlog.get_logger("demur.recorder")


class Recorder:
    """One buffer and its thread; `start` before use, `close` at the end."""

    def __init__(
        self,
        sink: EventSink,
        observer: RecorderObserver,
        *,
        logs: Path | None = None,
        bounds: LogBounds | None = None,
        options: RecorderOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`logs`: folder of the event logs, shared with other workers; None: no log is written.

        `bounds`: how much the log keeps; `options`: capacity and times; `clock`: seconds.
        """
        self._observer = observer
        self._options = options or RecorderOptions()
        self._clock = clock
        self._events: deque[Event] = deque()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._awaited: deque[Future[None]] = deque()
        self._round = DeliveryRound(
            self._events, sink, observer, self._options, self._stopping, self._awaited, clock
        )
        if logs is not None:
            self._round.write_log(logs, bounds or LogBounds())
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._deliver_until = float("inf")

    @property
    def waiting(self) -> int:
        """Number of events that the store does not have yet."""
        return self._round.waiting

    @property
    def connected(self) -> bool | None:
        """Whether the store answered the last time; None before the first try."""
        return self._round.connected

    @property
    def log_works(self) -> bool | None:
        """Whether the last try to write to the log succeeded; None if there is no log."""
        return self._round.log_works

    @property
    def rebuilding(self) -> bool:
        """Whether the store is receiving again what it had forgotten."""
        return self._round.rebuilding

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def record(self, event: Event) -> bool:
        """Keep `event`. False if the buffer is full: the event is dropped and counted.

        The newest events are refused rather than the oldest pushed out, so that accepted ones are kept.
        """
        if len(self._events) >= self._options.capacity:
            self._observer.dropped(event)
            return False
        self._events.append(event)
        return True

    def record_all(self, events: Sequence[Event]) -> int:
        """Keep `events`, in their order, as far as the buffer has room; how many are kept.

        The others, at the end, are dropped and counted.
        """
        room = max(0, self._options.capacity - len(self._events))
        self._events.extend(events[:room])
        for event in events[room:]:
            self._observer.dropped(event)
        return min(room, len(events))

    def settled(self) -> Future[None]:
        """Done once all that was recorded before is in the log or in the store, so that the death of this
        process loses none of it."""
        future: Future[None] = Future()
        self._awaited.append(future)
        self._woken.set()
        return future

    def close(self, timeout: float = 5.0) -> int:
        """Write the buffer to the log and deliver for at most `timeout` seconds; the number of events lost.

        Events that are in the log but not delivered are not lost: the next start delivers them.
        """
        self._deliver_until = self._clock() + timeout
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout + self._options.longest_pause)
        lost = len(self._events)
        while self._events:
            self._observer.dropped(self._events.popleft())
        if lost:
            logger.error("events_left_behind", count=lost)
        return lost

    def _run(self) -> None:
        # The first round runs at once: the service reports itself degraded until the store has answered.
        self._round.run()
        while not self._stopping.is_set():
            self._woken.wait(self._round.pause)
            self._woken.clear()
            self._round.run()
        # One more try for whatever is in a pause after a failure.
        self._round.end_pauses()
        self._round.write()
        while self.waiting and self._clock() < self._deliver_until:
            self._round.run()
            if not self.connected:
                if not self._events:
                    break  # Everything is in the log, for the next start.
                time.sleep(self._options.interval)
        self._round.close()
