"""From one event log to the store of the rolling windows: in order, each event once.

The store itself keeps how far it has come, beside the windows. So whatever happens to either side, the
next event to deliver is known: after a crash of the writer those that it had left, after a store that
went away those that it has missed, and for a store that has lost its memory everything that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import structlog
from redis.exceptions import DataError, RedisError

from monitoring.delivery.event_log import START, EventLog, Excerpt, Position
from monitoring.events import Event
from monitoring.windows.rolling import EventRefused, Outcome, PositionLost

logger = structlog.get_logger("demur.events")


class LogUnreadable(Exception):
    """The log cannot be read; its events cannot be delivered."""


class EventSink(Protocol):
    """Where events go; `monitoring.windows.rolling.RollingWindows` is one.

    Every method may raise RedisError where the store does not answer; the events are then sent again.
    """

    def apply(self, events: Sequence[Event]) -> list[Outcome | EventRefused]: ...

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[Outcome | EventRefused]: ...

    def position(self, log: str) -> str | None: ...

    def ping(self) -> None: ...


def apply_one_by_one(sink: EventSink, events: Sequence[Event]) -> list[Outcome | EventRefused]:
    """The outcomes of `sink.apply`; an event that cannot even be sent is refused by itself.

    Raises RedisError where the store does not answer.
    """
    outcomes: list[Outcome | EventRefused] = []
    for event in events:
        try:
            outcomes += sink.apply([event])
        except (RedisError, OSError) as error:
            if not isinstance(error, DataError):
                raise
            outcomes.append(EventRefused(str(error)))
        except Exception as error:
            logger.exception("event_not_deliverable", request_id=event.request_id)
            outcomes.append(EventRefused(f"{type(error).__name__}: {error}"))
    return outcomes


class Delivery:
    """How far one log has come."""

    def __init__(self, log: EventLog, sink: EventSink) -> None:
        self._log = log
        self._sink = sink
        self._known = False
        self._new = log.end == START
        """Nothing was ever written to it, so a store that does not know it has forgotten nothing."""
        self._noted: str | None = None
        """What the store has noted; None: nothing."""
        self._unanswered: Excerpt | None = None
        """Sent, and whether the store took it is not known: it is sent again, as it was."""
        self._rebuilt_at: Position | None = None
        """Where a rebuild under way will be through."""
        self.position = START
        self.waiting = 0
        """Events that the store has not got; of those from before, none until it has said where it is."""

    @property
    def rebuilding(self) -> bool:
        """Whether the store is being told again what it had forgotten."""
        return self._rebuilt_at is not None

    def added(self, events: int) -> None:
        """So many events have been written to the log."""
        self.waiting += events

    def ask(self) -> None:
        """Ask the store where it stands, and go there."""
        noted = self._sink.position(self._log.name)
        if self._known and noted == self._noted:
            return
        if self._unanswered is not None and noted == str(self._unanswered.after):
            # It did take them; what became of each is learned by sending them again.
            return
        self._noted, self._unanswered = noted, None
        position = START if noted is None else Position.read(noted)
        if position > self._log.end:
            # It has seen events that this log has lost with the machine's power.
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

    def step(self, most: int) -> list[tuple[Event, Outcome | EventRefused]]:
        """Deliver the next events, at most `most` of them; what each turned out to be."""
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

    def _apply(self, events: Sequence[Event], after: str) -> list[Outcome | EventRefused]:
        try:
            return self._sink.apply_from_log(self._log.name, events, self._noted, after)
        except (DataError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
            # A fault of ours, brought about by one of them: it must not hold up the others for ever.
            outcomes = apply_one_by_one(self._sink, events)
            self._sink.apply_from_log(self._log.name, [], self._noted, after)
            return outcomes

    def _finish_rebuild(self) -> None:
        if self._rebuilt_at is not None and self.position >= self._rebuilt_at:
            self._rebuilt_at = None
            logger.info("store_rebuilt", log=self._log.name)
        if self.position >= self._log.end:
            self.waiting = 0
