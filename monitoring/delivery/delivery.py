"""Delivery of one event log to the store of the rolling windows: in order, each event once.

The store keeps its own position in each log, beside the windows. So the next event to deliver is always
known: after a crash of the writer, the events that it had left; after an outage of the store, the events
that it has missed; for a store that has lost its memory, everything that the log still holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from monitoring.delivery.event_log import EventLog, Excerpt
from monitoring.delivery.segments import START, Position
from monitoring.errors import MonitoringError
from monitoring.events import Event
from monitoring.store.contract import (
    EventOutcome,
    EventRefused,
    EventSink,
    PositionLost,
    StoreUnavailable,
)

logger = structlog.get_logger("demur.events")


class LogUnreadable(MonitoringError):
    """The log cannot be read, so its events cannot be delivered."""


def apply_one_by_one(sink: EventSink, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
    """The outcomes of `sink.apply`; an event that cannot be sent is refused without the others.

    Raises StoreUnavailable.
    """
    outcomes: list[EventOutcome | EventRefused] = []
    for event in events:
        try:
            outcomes += sink.apply([event])
        except StoreUnavailable:
            raise
        except EventRefused as error:
            outcomes.append(error)
        except Exception as error:
            logger.exception("event_not_deliverable", request_id=event.request_id)
            outcomes.append(EventRefused(f"{type(error).__name__}: {error}"))
    return outcomes


class Delivery:
    """The delivery of one log, and how far it has come."""

    def __init__(self, log: EventLog, sink: EventSink) -> None:
        self._log = log
        self._sink = sink
        self._known = False
        self._new = log.end == START
        """The log has never held an event, so a store that does not know it has forgotten nothing."""
        self._noted: str | None = None
        """The position that the store holds; None: it does not know the log."""
        self._unanswered: Excerpt | None = None
        """Events that were sent without an answer; they are sent again, exactly as they were."""
        self._rebuilt_at: Position | None = None
        """The position at which a rebuild in progress is complete."""
        self.position = START
        self.waiting = 0
        """Events that the store does not have yet; 0 for a log's older events until `ask` has run."""

    @property
    def rebuilding(self) -> bool:
        """Whether the store is receiving again what it had forgotten."""
        return self._rebuilt_at is not None

    def added(self, events: int) -> None:
        """Count `events` events that have been written to the log."""
        self.waiting += events

    def ask(self) -> None:
        """Read the store's position in the log, and continue from there.

        Raises StoreUnavailable and LogUnreadable.
        """
        noted = self._sink.position(self._log.name)
        if self._known and noted == self._noted:
            return
        if self._unanswered is not None and noted == str(self._unanswered.after):
            # The store did take them; sending them again yields the outcome of each.
            return
        self._noted, self._unanswered = noted, None
        position = START if noted is None else Position.read(noted)
        if position > self._log.end:
            # The store has events that this log lost when the machine lost power.
            position = START
        forgotten = position < self.position or (noted is None and not self._new)
        self.position = position
        try:
            self.waiting = self._log.count(position)
        except OSError as error:
            raise LogUnreadable(str(error)) from error
        if forgotten and self.waiting:
            self._rebuilt_at = self._log.end
            logger.warning("store_forgot_events", log=self._log.name, to_deliver=self.waiting)
        self._known, self._new = True, False

    def deliver(self, most: int) -> list[tuple[Event, EventOutcome | EventRefused]]:
        """Deliver the next events, at most `most` of them; each with its outcome.

        Raises StoreUnavailable and LogUnreadable.
        """
        if not self._known:
            self.ask()
        if self.position >= self._log.end:
            self._finish_rebuild()
            return []
        excerpt = self._unanswered or self._read(most)
        after = str(excerpt.after)
        self._unanswered = excerpt
        try:
            outcomes = self._apply(excerpt.events, after)
        except PositionLost:
            self._known, self._unanswered = False, None
            self.ask()
            return []
        self._noted, self.position, self._unanswered = after, excerpt.after, None
        self.waiting = max(0, self.waiting - len(excerpt.events))
        self._finish_rebuild()
        return list(zip(excerpt.events, outcomes, strict=True))

    def _read(self, most: int) -> Excerpt:
        try:
            return self._log.read(self.position, most)
        except OSError as error:
            raise LogUnreadable(str(error)) from error

    def _apply(self, events: Sequence[Event], after: str) -> list[EventOutcome | EventRefused]:
        try:
            return self._sink.apply_from_log(self._log.name, events, self._noted, after)
        except (EventRefused, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
            # One of the events cannot be sent: it must not hold up the others for ever.
            outcomes = apply_one_by_one(self._sink, events)
            self._sink.apply_from_log(self._log.name, [], self._noted, after)
            return outcomes

    def _finish_rebuild(self) -> None:
        if self._rebuilt_at is not None and self.position >= self._rebuilt_at:
            self._rebuilt_at = None
            logger.info("store_rebuilt", log=self._log.name)
        if self.position >= self._log.end:
            self.waiting = 0
