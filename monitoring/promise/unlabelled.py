"""Unlabelled: the audits that have no label, by chunk, so that a label costs the same however many wait."""

from __future__ import annotations

from bisect import bisect_left, insort

from monitoring.promise.chunk import SECONDS


class Unlabelled:
    """Audits without a label, in the order of their answers."""

    def __init__(self) -> None:
        self._chunks: dict[int, dict[str, float]] = {}
        """Index of a chunk -> request id -> time of its answer"""
        self._order: list[int] = []

    def add(self, request_id: str, at: float) -> None:
        """An audit of an answer at Unix time `at`, seconds, waits."""
        index = int(at // SECONDS)
        if index not in self._chunks:
            self._chunks[index] = {}
            insort(self._order, index)
        self._chunks[index][request_id] = at

    def remove(self, request_id: str, at: float) -> None:
        """It has its label, or is no item any more. Raises KeyError if it does not wait."""
        index = int(at // SECONDS)
        del self._chunks[index][request_id]
        if not self._chunks[index]:
            del self._chunks[index], self._order[bisect_left(self._order, index)]

    def first(self, since: float = 0.0) -> float | None:
        """Time of the first answer at or after `since`."""
        for index in self._order[bisect_left(self._order, since // SECONDS) :]:
            times = [at for at in self._chunks[index].values() if at >= since]
            if times:
                return min(times)
        return None

    def count(self, since: float) -> int:
        """Number of answers at or after `since`."""
        cut = int(since // SECONDS)
        later = self._order[bisect_left(self._order, cut + 1) :]
        in_cut = sum(at >= since for at in self._chunks.get(cut, {}).values())
        return in_cut + sum(len(self._chunks[index]) for index in later)

    def drop_before(self, second: int) -> None:
        """Forget the answers before `second`."""
        for index in self._order[: bisect_left(self._order, second // SECONDS + 1)]:
            for request_id, at in list(self._chunks[index].items()):
                if at < second:
                    self.remove(request_id, at)
