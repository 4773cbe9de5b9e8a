"""An observer that remembers the outcomes of a recorder's events."""

from __future__ import annotations

from monitoring.events import Event
from monitoring.store.contract import EventOutcome


class RecordingObserver:
    """Lists of the outcomes, of the lost events and of those that no log holds."""

    def __init__(self) -> None:
        self.outcomes: list[EventOutcome] = []
        self.lost: list[Event] = []
        self.unwritten: list[Event] = []

    def delivered(self, event: Event, outcome: EventOutcome) -> None:
        self.outcomes.append(outcome)

    def dropped(self, event: Event) -> None:
        self.lost.append(event)

    def unlogged(self, event: Event) -> None:
        self.unwritten.append(event)
