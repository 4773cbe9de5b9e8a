"""What became of the events that a recorder was given."""

from __future__ import annotations

from monitoring.events import Event
from monitoring.windows.rolling import Outcome


class Fates:
    """Remembers it."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.lost: list[Event] = []
        self.unwritten: list[Event] = []

    def delivered(self, event: Event, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def dropped(self, event: Event) -> None:
        self.lost.append(event)

    def unlogged(self, event: Event) -> None:
        self.unwritten.append(event)
