"""Latest events: those of the last segment of a log that were written and not read yet.

They are kept in memory, so that most events are delivered without being parsed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from monitoring.events import Event

_KEPT: Final = 4096
"""Events; about 4 MB. What is pushed out is read from the segment."""


class LatestEvents:
    """Events with the offsets of their lines in a segment."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, int, Event]] = deque(maxlen=_KEPT)
        """(begin of its line, end of its line, event)"""

    def clear(self) -> None:
        """Another segment begins."""
        self._events.clear()

    def add(self, begin: int, lines: Sequence[bytes], events: Sequence[Event]) -> None:
        """Keep events whose lines were written from the offset `begin` on."""
        for line, event in zip(lines, events, strict=True):
            end = begin + len(line)
            self._events.append((begin, end, event))
            begin = end

    def take(self, after: int, most: int) -> tuple[list[Event], int]:
        """(at most `most` events behind the offset `after`, the offset behind them), and forget them; none if
        they are not kept."""
        events = self._events
        while events and events[0][0] < after:
            events.popleft()
        if not events or events[0][0] != after:
            return [], after
        taken = [events.popleft() for _ in range(min(most, len(events)))]
        return [event for _, _, event in taken], taken[-1][1]
