"""The store of the rolling windows as its users see it: the calls, their outcomes and their errors.

No type of a store's client appears here. `monitoring.windows.rolling.RollingWindows` fulfils `EventSink`
with Redis or Valkey and translates their errors into those below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitoring.errors import MonitoringError
from monitoring.events import Event, FailureOutcome, FeedbackOutcome, PredictionOutcome

EventOutcome = PredictionOutcome | FeedbackOutcome | FailureOutcome


class StoreUnavailable(MonitoringError):
    """The store does not answer, or is in trouble (loading, out of memory, read only, a failed disk)."""


class EventRefused(MonitoringError):
    """The store cannot take one event because of its content; sending it again does not help."""


class PositionLost(MonitoringError):
    """The store's position in a log is not the expected one: it has lost its memory, or part of it."""


class EventSink(Protocol):
    """Where events are delivered.

    Every method raises StoreUnavailable if the store does not answer; the events are then sent again,
    so the store must recognise events that it already has.
    """

    def apply(self, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
        """Enter events in their order; the outcome of each.

        An event that the store refuses yields its error in place. Raises EventRefused, with none of the
        events entered, if one of them cannot even be sent.
        """

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[EventOutcome | EventRefused]:
        """`apply` for events that lead from position `before` of a log (None: its start) to `after`.

        Raises PositionLost if the store knows the log to be neither at `before` nor at `after`.
        """

    def position(self, log: str) -> str | None:
        """Position up to which a log has been delivered; None if the store does not know the log."""

    def ping(self) -> None:
        """Return if the store answers."""
