"""Fold: what is computed over the chunks of a timeline from left to right, with the states between kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from monitoring.promise.chunk import SECONDS, Chunk
from monitoring.promise.timeline import Timeline

State = TypeVar("State")
Part = TypeVar("Part")


class Fold(Generic[State, Part]):
    """A fold over the answered items, or over the decided ones.

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
        decisions: bool = False,
    ) -> None:
        """`key`: names the results of `compute` in the chunks; `first`: index of the first chunk;
        `decisions`: `compute` reads the decided items, and no answered one."""
        self._key, self._compute, self._step = key, compute, step
        self._first, self._decisions = first, decisions
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
            state = self._step(state, self._of(chunk))
            self._indexes.append(chunk.index)
            self._states.append(state)
        open_chunk = timeline.open_chunk(until)
        if open_chunk is not None and open_chunk.index >= self._first:
            state = self._step(state, self._compute(open_chunk, until))
        return state

    def start_at(self, state: State, second: int) -> None:
        """Begin with `state` at `second`, before which nothing is computed again."""
        kept = bisect_left(self._indexes, second // SECONDS)
        self._start = state
        del self._indexes[:kept], self._states[:kept]

    def _of(self, chunk: Chunk) -> Part:
        computed: dict[str, Any] = chunk.of_decisions if self._decisions else chunk.computed
        if self._key not in computed:
            computed[self._key] = self._compute(chunk, None)
        part: Part = computed[self._key]
        return part
