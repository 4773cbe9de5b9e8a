"""Who computes next: a bounded queue in front of the cores.

At most `slots` images are computed at a time, because more than one a core only makes all of them
slower. The rest wait, at most `limit` of them, in two lanes that are served in turn, so that a large
batch does not starve single requests. A full queue refuses at once; whoever waits past its deadline is
let go without having been computed.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from time import perf_counter

from service.problems import RequestError, refused


class Lane(IntEnum):
    SINGLE = 0
    BATCH = 1


class Admission:
    """Used from one event loop. Times are those of `time.perf_counter`, in seconds."""

    def __init__(self, slots: int, limit: int) -> None:
        self.slots = slots
        self.limit = limit
        self._free = slots
        self._lanes: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in Lane)
        self._next = Lane.SINGLE
        self._waiting = 0
        self._seconds_an_image = 0.05

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def running(self) -> int:
        return self.slots - self._free

    def refuse_if_full(self, places: int) -> None:
        """Raise the 503 where `places` more images would not find a place."""
        if self._waiting + places > self.limit + self._free:
            raise self._full()

    @asynccontextmanager
    async def slot(self, lane: Lane, deadline: float, *, bounded: bool = True) -> AsyncIterator[None]:
        """A core for one image. Not `bounded`: wait even in a full queue (the rest of an accepted batch).

        Raises RequestError: 503 where the queue is full, 504 where the deadline passes first.
        """
        if self._free:
            self._free -= 1
        else:
            if bounded and self._waiting >= self.limit:
                raise self._full()
            await self._wait(lane, deadline)
        began = perf_counter()
        try:
            yield
        finally:
            self._seconds_an_image += 0.05 * (perf_counter() - began - self._seconds_an_image)
            self._release()

    async def _wait(self, lane: Lane, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._lanes[lane].append(turn)
        self._waiting += 1
        timer = loop.call_later(max(0.0, deadline - perf_counter()), _expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release()
            raise
        finally:
            timer.cancel()
            self._waiting -= 1

    def _release(self) -> None:
        for lane in (self._next, Lane(1 - self._next)):
            queue = self._lanes[lane]
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    self._next = Lane(1 - lane)
                    turn.set_result(None)
                    return
        self._free += 1

    def _full(self) -> RequestError:
        wait = (self._waiting + 1) * self._seconds_an_image / self.slots
        return refused(
            "queue-full",
            503,
            f"{self._waiting} images are waiting; at most {self.limit} may",
            value=self._waiting,
            limit=self.limit,
            headers={"Retry-After": str(max(1, math.ceil(wait)))},
        )


def deadline_passed() -> RequestError:
    """The 504 of work that would come too late."""
    return refused(
        "deadline-passed", 504, "the deadline passed before the image was decided", field="X-Deadline-Ms"
    )


def _expire(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(deadline_passed())
