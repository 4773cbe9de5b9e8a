"""Timeline: the items of one bundle in the order of their answers, in chunks of a few seconds.

The order is a function of the items alone: by the whole second of the answer; within a second the audited
items first, by time and id, then the others. So any order of arrival leads to the same timeline, and chunks
have fixed ends, so that even the rounding of what is computed over them is the same.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from monitoring.promise.items import AuditItem, ItemChanges

SECONDS: Final = 32
"""Length of a chunk"""

State = TypeVar("State")
Part = TypeVar("Part")


class Chunk:
    """The items of `SECONDS` seconds, and what was computed over them."""

    __slots__ = ("audits", "computed", "decided", "index", "unaudited")

    def __init__(self, index: int) -> None:
        self.index = index
        """Its first second divided by `SECONDS`"""
        self.audits: dict[str, AuditItem] = {}
        self.unaudited: dict[str, array[int]] = {}
        """Part -> number of unaudited items in each second"""
        self.decided: tuple[array[int], array[int]] | None = None
        """Decided items, and answered ones among them, in each second"""
        self.computed: dict[str, Any] = {}
        """By the key of a fold"""

    def seconds(self, part: str | None, until: int | None = None) -> Iterator[tuple[list[AuditItem], int]]:
        """(audited items in order, number of unaudited ones) of each second before `until` that has any.

        `part`: of this part alone; None: of all parts.
        """
        by_second: dict[int, list[AuditItem]] = {}
        for item in self.audits.values():
            if part is None or item.part == part:
                by_second.setdefault(int(item.at // 1), []).append(item)
        counts = [row for name, row in self.unaudited.items() if part is None or name == part]
        first = self.index * SECONDS
        for second in range(first, first + SECONDS if until is None else min(until, first + SECONDS)):
            items = by_second.get(second, [])
            unaudited = sum(row[second - first] for row in counts)
            if items or unaudited:
                yield sorted(items, key=_order), unaudited

    def decisions(self, until: int | None = None) -> Iterator[tuple[int, int]]:
        """(abstentions, answers) of each second before `until` that has any, as items of the coverage."""
        if self.decided is not None:
            first = self.index * SECONDS
            last = SECONDS if until is None else min(SECONDS, until - first)
            for decided, answered in zip(self.decided[0][:last], self.decided[1][:last], strict=True):
                if decided:
                    yield decided - answered, answered


class Timeline:
    """The items since `begin`, a whole second of Unix time."""

    def __init__(self, begin: int = 0) -> None:
        self.begin = begin
        self.with_units = False
        self._chunks: dict[int, Chunk] = {}
        self._order: list[int] = []
        self._second_of: dict[str, float] = {}
        """Request id of an audited item -> time of its answer"""
        self._unlabelled: list[tuple[float, str]] = []
        self._changed: int | None = None

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
                    insort(self._unlabelled, (item.at, item.request_id))
        for second, counts in changes.unaudited.items():
            if second >= self.begin:
                _set_counts(self._chunk(second).unaudited, second % SECONDS, counts)
        for second, (decided, answered) in changes.decided.items():
            if second >= self.begin:
                chunk = self._chunk(second)
                chunk.decided = chunk.decided or (_row(), _row())
                chunk.decided[0][second % SECONDS] = decided
                chunk.decided[1][second % SECONDS] = answered

    def take_changed(self) -> int | None:
        """Index of the first chunk that has changed since the last call; None: none has."""
        changed, self._changed = self._changed, None
        return changed

    def first_unlabelled(self, since: float = 0.0) -> float | None:
        """Time of the first answer at or after `since` whose audit has no label."""
        at = bisect_left(self._unlabelled, (since, ""))
        return self._unlabelled[at][0] if at < len(self._unlabelled) else None

    def unlabelled(self, since: float) -> int:
        """Number of audits without a label at or after `since`."""
        return len(self._unlabelled) - bisect_left(self._unlabelled, (since, ""))

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
        del self._unlabelled[: bisect_left(self._unlabelled, (float(second), ""))]

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

    def _remove(self, request_id: str) -> None:
        at = self._second_of.pop(request_id, None)
        if at is None:
            return
        item = self._chunk(int(at // 1)).audits.pop(request_id)
        if item.wrong is None:
            del self._unlabelled[bisect_left(self._unlabelled, (at, request_id))]

    def _chunk(self, second: int) -> Chunk:
        """The chunk of a second, which is about to change."""
        index = second // SECONDS
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = self._chunks[index] = Chunk(index)
            insort(self._order, index)
        self._touch(chunk)
        return chunk

    def _touch(self, chunk: Chunk) -> None:
        chunk.computed.clear()
        self._changed = chunk.index if self._changed is None else min(self._changed, chunk.index)


class Fold(Generic[State, Part]):
    """What is computed over the chunks from left to right, with the states between them kept.

    An item that changes costs the chunk in which it lies and a step for each later one.
    """

    def __init__(
        self,
        key: str,
        start: State,
        compute: Callable[[Chunk, int | None], Part],
        step: Callable[[State, Part], State],
        *,
        first: int = 0,
    ) -> None:
        """`key`: names the results of `compute` in the chunks; `first`: index of the first chunk."""
        self._key, self._compute, self._step = key, compute, step
        self._first = first
        self._start = start
        self._indexes: list[int] = []
        self._states: list[State] = []
        """After the chunk of the same place in `_indexes`"""

    def forget_from(self, index: int) -> None:
        """Compute the chunks from `index` on again."""
        kept = bisect_left(self._indexes, index)
        del self._indexes[kept:], self._states[kept:]

    def before(self, timeline: Timeline, until: int) -> State:
        """The state at the second `until`, between chunks or within one."""
        self.forget_from(until // SECONDS)
        state = self._states[-1] if self._states else self._start
        following = self._indexes[-1] + 1 if self._indexes else self._first
        for chunk in timeline.chunks(following, until):
            if self._key not in chunk.computed:
                chunk.computed[self._key] = self._compute(chunk, None)
            state = self._step(state, chunk.computed[self._key])
            self._indexes.append(chunk.index)
            self._states.append(state)
        open_chunk = timeline.open_chunk(until)
        if open_chunk is not None and open_chunk.index >= self._first:
            state = self._step(state, self._compute(open_chunk, until))
        return state

    def visited(self) -> Iterator[tuple[int, State]]:
        """(index, state after it) of each whole chunk so far."""
        return zip(self._indexes, self._states, strict=True)

    def start_at(self, state: State, second: int) -> None:
        """Begin with `state` at `second`, before which nothing is computed again."""
        kept = bisect_left(self._indexes, second // SECONDS)
        self._start = state
        del self._indexes[:kept], self._states[:kept]


def _order(item: AuditItem) -> tuple[float, str]:
    return item.at, item.request_id


def _row() -> array[int]:
    return array("q", bytes(8 * SECONDS))


def _set_counts(rows: dict[str, array[int]], offset: int, counts: Mapping[str, int]) -> None:
    for part in counts.keys() - rows.keys():
        rows[part] = _row()
    for part, row in rows.items():
        row[offset] = counts.get(part, 0)
