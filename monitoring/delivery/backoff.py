"""Exponential backoff between retries."""

from __future__ import annotations


class Backoff:
    """A pause after each failure: `first` seconds, then twice as long each time, up to `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self.longest = longest
        self._first = first
        self._pause = first
        self._due = float("-inf")

    def is_over(self, now: float) -> bool:
        """Whether the next try is due at `now`."""
        return now >= self._due

    def failed(self, now: float) -> None:
        """Begin a pause at `now`, and double the next one."""
        self._due = now + self._pause
        self._pause = min(2 * self._pause, self.longest)

    def reset(self) -> None:
        """End the pause; the next one is `first` seconds again."""
        self._due, self._pause = float("-inf"), self._first
