"""Timeline: the items of one bundle in the order of their answers, in chunks of a few seconds.

Any order of arrival leads to the same timeline, and chunks have fixed ends, so that even the rounding of what
is computed over them is the same.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping

from monitoring.promise.chunk import SECONDS, Chunk
from monitoring.promise.items import ItemChanges
from monitoring.promise.unlabelled import Unlabelled


class Timeline:
    """The items since `begin`, a whole second of Unix time."""

    def __init__(self, begin: int = 0) -> None:
        self.begin = begin
        self.with_units = False
        self._chunks: dict[int, Chunk] = {}
        self._order: list[int] = []
        self._second_of: dict[str, float] = {}
        """Request id of an audited item -> time of its answer"""
        self.unlabelled = Unlabelled()
        """Audited items that wait for their label"""
        self._changed: int | None = None
        self._decided_changed: int | None = None

    def apply(self, changes: ItemChanges) -> None:
        """Enter what the store has sent."""
        if changes.complete:
            self._forget(changes.since)
        self.with_units = self.with_units or changes.with_units
        for request_id in changes.removed:
            self._remove(request_id)
        for item in changes.audits:
            self._remove(item.request_id)
            if item.at >= self.begin:
                self._chunk(int(item.at // 1)).audits[item.request_id] = item
                self._second_of[item.request_id] = item.at
                if item.wrong is None:
                    self.unlabelled.add(item.request_id, item.at)
        for second, counts in changes.unaudited.items():
            if second >= self.begin:
                _set_counts(self._chunk(second).unaudited, second % SECONDS, counts)
        for second, (decided, answered) in changes.decided.items():
            if second >= self.begin:
                chunk = self._chunk(second, decisions=True)
                chunk.decided = chunk.decided or (_row(), _row())
                chunk.decided[0][second % SECONDS] = decided
                chunk.decided[1][second % SECONDS] = answered

    def take_changed(self) -> tuple[int | None, int | None]:
        """Indexes of the first chunk whose answered items, and of the first whose decided ones, have changed
        since the last call; None: none have."""
        changed = self._changed, self._decided_changed
        self._changed = self._decided_changed = None
        return changed

    @property
    def first(self) -> int | None:
        """The first second of the first chunk"""
        return self._order[0] * SECONDS if self._order else None

    def chunks(self, first: int, until: int) -> Iterator[Chunk]:
        """The chunks from index `first` on that end at or before the second `until`."""
        for index in self._order[
            bisect_left(self._order, first) : bisect_right(self._order, until // SECONDS - 1)
        ]:
            yield self._chunks[index]

    def open_chunk(self, until: int) -> Chunk | None:
        """The chunk that the second `until` cuts in two, if there is one."""
        return self._chunks.get(until // SECONDS) if until % SECONDS else None

    def forget_computed(self, key: str) -> None:
        """Let a fold compute everything again."""
        for chunk in self._chunks.values():
            chunk.computed.pop(key, None)

    def drop_before(self, second: int) -> None:
        """Forget what lies before `second`, which is entered nowhere later either."""
        self.begin = max(self.begin, second)
        while self._order and (self._order[0] + 1) * SECONDS <= second:
            for request_id in self._chunks.pop(self._order.pop(0)).audits:
                del self._second_of[request_id]
        if self._order and self._order[0] * SECONDS < second:
            chunk = self._chunks[self._order[0]]
            for request_id in [one for one, item in chunk.audits.items() if item.at < second]:
                self._remove(request_id)
            for row in (*chunk.unaudited.values(), *(chunk.decided or ())):
                row[: second % SECONDS] = _row()[: second % SECONDS]
            self._touch(chunk)
            self._touch(chunk, decisions=True)
        self.unlabelled.drop_before(second)

    def _forget(self, since: float) -> None:
        """Forget everything at or after `since`, because the store sends all of it anew."""
        for index in [one for one in self._order if (one + 1) * SECONDS > since]:
            chunk = self._chunks[index]
            for request_id in [one for one, item in chunk.audits.items() if item.at >= since]:
                self._remove(request_id)
            kept = max(0, int(since) - index * SECONDS)
            for row in (*chunk.unaudited.values(), *(chunk.decided or ())):
                row[kept:] = _row()[kept:]
            self._touch(chunk)
            self._touch(chunk, decisions=True)

    def _remove(self, request_id: str) -> None:
        at = self._second_of.pop(request_id, None)
        if at is None:
            return
        item = self._chunk(int(at // 1)).audits.pop(request_id)
        if item.wrong is None:
            self.unlabelled.remove(request_id, at)

    def _chunk(self, second: int, *, decisions: bool = False) -> Chunk:
        """The chunk of a second, whose answered or decided items are about to change."""
        index = second // SECONDS
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = self._chunks[index] = Chunk(index)
            insort(self._order, index)
        self._touch(chunk, decisions=decisions)
        return chunk

    def _touch(self, chunk: Chunk, *, decisions: bool = False) -> None:
        if decisions:
            chunk.of_decisions.clear()
            self._decided_changed = _earlier(self._decided_changed, chunk.index)
        else:
            chunk.forget()
            self._changed = _earlier(self._changed, chunk.index)


def _earlier(changed: int | None, index: int) -> int:
    return index if changed is None else min(changed, index)


def _row() -> array[int]:
    return array("q", bytes(8 * SECONDS))


def _set_counts(rows: dict[str, array[int]], offset: int, counts: Mapping[str, int]) -> None:
    for part in counts.keys() - rows.keys():
        rows[part] = _row()
    for part, row in rows.items():
        row[offset] = counts.get(part, 0)
