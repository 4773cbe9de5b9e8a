"""When to try again what has just failed."""

from __future__ import annotations


class Backoff:
    """Later and later: `first` seconds after a failure, then twice that, up to `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self.longest = longest
        self._first = first
        self._pause = first
        self._due = float("-inf")

    def over(self, now: float) -> bool:
        return now >= self._due

    def failed(self, now: float) -> None:
        self._due = now + self._pause
        self._pause = min(2 * self._pause, self.longest)

    def reset(self) -> None:
        self._due, self._pause = float("-inf"), self._first
