"""Former champions that stay open for a while, so that the fleet can return to them by a swap and no load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from bundle.system.memory import Memory, read_memory

SHORT: Final = 0.1
"""Share of the memory that must be free for a former champion to stay open"""

logger = structlog.get_logger("demur.following")


class KeptOpen:
    """The former champions that are open, and until when."""

    def __init__(
        self,
        seconds: float,
        until: Mapping[str, float] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        memory: Callable[[], Memory | None] = read_memory,
    ) -> None:
        """`seconds`: for which one stays open; `until`: digest -> Unix time, of those before a restart."""
        self._seconds, self._clock, self._memory = seconds, clock, memory
        now = clock()
        # A clock that was set back must not keep a bundle for days.
        self._until = {digest: min(end, now + seconds) for digest, end in (until or {}).items() if end > now}
        self.note: str | None = None
        """Why none is open, if memory is the reason"""

    @property
    def until(self) -> Mapping[str, float]:
        """Digest -> Unix time until which it stays open."""
        return dict(self._until)

    @property
    def wanted(self) -> bool:
        """Whether former champions stay open at all."""
        return self._seconds > 0

    def left(self, before: str, now: str) -> None:
        """The champion is `now` instead of `before`, by their digests."""
        if before != now and self.wanted:
            self._until[before] = self._clock() + self._seconds
        self._until.pop(now, None)

    def give_up(self, digest: str) -> None:
        """One cannot be opened."""
        self._until.pop(digest, None)

    def end_overdue(self) -> bool:
        """Give up those whose time is over, and all if memory is short; whether there was one."""
        now, before = self._clock(), len(self._until)
        self._until = {digest: end for digest, end in self._until.items() if end > now}
        memory = self._memory() if self._until else None
        if memory is not None and memory.available < SHORT * memory.total:
            self.note = (
                f"memory is short ({memory.available / 2**20:.0f} of {memory.total / 2**20:.0f} MiB are "
                "free), so no former champion stays open: a rollback loads it first"
            )
            logger.warning("former_champions_closed", why=self.note, digests=sorted(self._until))
            self._until = {}
        elif len(self._until) != before:
            logger.info("former_champion_closed", why="its time is over (DEMUR_KEEP_PREVIOUS)")
        elif self._until:
            self.note = None
        return len(self._until) != before
