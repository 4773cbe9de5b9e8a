"""Admission control: a bounded queue in front of the worker threads.

At most `slots` images are computed at a time, because more than one per core only makes all of them slower.
The rest wait, at most `limit` of them, in two lanes that are served in turn, so that a large batch does not
starve single requests. A full queue refuses at once; an image whose deadline has passed leaves the queue
without being computed.

Under sustained load a thread gets several images at once, and their answers leave together. The event loop's
work for an image takes several times as long after a model has swept the loop's code and data out of the
core's caches; a group pays for that once.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from time import perf_counter
from typing import Any, Final, Generic, TypeVar

from service.compute.threads import GivenUp, Task, ThreadPool
from service.errors import ComputeTimeout, DeadlinePassed, QueueFull

MAX_GROUP: Final = 4
"""Images that a thread gets at once, at most."""
SUSTAINED: Final = 0.25
"""Seconds without a free slot after which load counts as sustained."""
MAX_DELAY: Final = 0.035
"""Seconds for which an answer may wait for the others of its group."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Lane(IntEnum):
    SINGLE = 0
    BATCH = 1


class Lanes(Generic[_Item]):
    """Two queues that are served in turn."""

    def __init__(self) -> None:
        self._queues: tuple[deque[_Item], ...] = tuple(deque() for _ in Lane)
        self._next = Lane.SINGLE

    def put(self, lane: Lane, item: _Item) -> None:
        self._queues[lane].append(item)

    def first(self) -> _Item | None:
        """The next item; None if both queues are empty."""
        lane = self._lane()
        return None if lane is None else self._queues[lane][0]

    def take(self) -> _Item | None:
        """The same, removed from its queue."""
        lane = self._lane()
        if lane is None:
            return None
        self._next = Lane(1 - lane)
        return self._queues[lane].popleft()

    def _lane(self) -> Lane | None:
        return next((lane for lane in (self._next, Lane(1 - self._next)) if self._queues[lane]), None)


@dataclass(slots=True, eq=False)
class Waiter(Generic[_Result]):
    """Entry of a queue: the future of its result, and the timer of its deadline."""

    result: asyncio.Future[_Result]
    timer: asyncio.TimerHandle | None = None

    def begin(self) -> bool:
        """Stop the timer; whether the result is still awaited."""
        if self.timer is not None:
            self.timer.cancel()
        return not self.result.done()

    def set_result(self, result: _Result) -> None:
        """Deliver the result, if it is still awaited."""
        if not self.result.done():
            self.result.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        """Deliver the error, if the result is still awaited."""
        if not self.result.done():
            self.result.set_exception(error)


@dataclass(slots=True, eq=False)
class _Job(Waiter[Any]):
    work: Callable[[], Any] = field(kw_only=True)
    deadline: float = field(kw_only=True)
    alone: bool = field(kw_only=True)
    owner: str | None = field(kw_only=True)

    def task(self) -> Task:
        return Task(self.compute, self.finish, self.owner)

    def compute(self) -> Any:
        """Do the work, on a thread, if the result is still awaited and the deadline has not passed."""
        if self.result.done():
            return None
        if perf_counter() > self.deadline:
            raise DeadlinePassed
        return self.work()

    def finish(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self.set_result(result)
        else:
            self.set_exception(error)


Gather = Callable[[], Task | None]
"""Called when a slot is free; None without work."""


class Admission:
    """Queue and threads of one worker; used from one event loop. Times are those of `time.perf_counter`, in
    seconds."""

    def __init__(self, slots: int, limit: int) -> None:
        """`slots`: images computed at a time; `limit`: images that may wait."""
        self.slots = slots
        self.limit = limit
        self._free = slots
        self._busy_since = 0.0
        """Time at which the last free slot was taken."""
        self._threads = ThreadPool(slots, "predict", max_delay=MAX_DELAY)
        self._lanes: Lanes[_Job] = Lanes()
        self._continuing: deque[Gather] = deque()
        self._waiting = 0
        self._seconds_per_job = 0.05

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def running(self) -> int:
        return self.slots - self._free

    def refuse_if_full(self, places: int) -> None:
        """Raise QueueFull if the queue has no place for `places` more images."""
        if self._waiting + places > self.limit + self._free:
            raise self.full("images", self._waiting, self.limit)

    def run(
        self,
        lane: Lane,
        deadline: float,
        work: Callable[[], _Result],
        *,
        bounded: bool = True,
        alone: bool = False,
        owner: str | None = None,
    ) -> asyncio.Future[_Result]:
        """Future of what `work` returns or raises on a thread; DeadlinePassed if the deadline comes first.

        Not `bounded`: wait even in a full queue (the rest of an accepted batch). `alone`: the outcome is
        never delayed for those of others, because it is no answer yet. `owner`: label of the bundle that
        computes. Raises QueueFull at once. Work that has begun is not stopped, even if its result is no
        longer awaited, and keeps its slot until it is done or given up.
        """
        loop = asyncio.get_running_loop()
        job = _Job(loop.create_future(), work=work, deadline=deadline, alone=alone, owner=owner)
        if self._free:
            self._take_slot()
            self._start([job.task()])
            return job.result
        if bounded and self._waiting >= self.limit:
            raise self.full("images", self._waiting, self.limit)
        self._waiting += 1
        job.timer = loop.call_later(max(0.0, deadline - perf_counter()), self._expire, job)
        self._lanes.put(lane, job)
        return job.result

    def run_next(self, gather: Gather) -> None:
        """Run work ahead of the queue, because it continues what has begun."""
        self._continuing.append(gather)
        if self._free:
            self._take_slot()
            self._fill_slot()

    def full(self, what: str, waiting: int, limit: int) -> QueueFull:
        """The error of a queue without a free place; it says when to retry."""
        wait = (waiting + 1) * self._seconds_per_job / self.slots
        return QueueFull(
            f"{waiting} {what} are waiting; at most {limit} may",
            value=waiting,
            limit=limit,
            retry_after=max(1, math.ceil(wait)),
        )

    @property
    def lost(self) -> int:
        """Number of threads that were given up and still compute"""
        return self._threads.lost

    def give_up_overdue(self, limit: float) -> list[GivenUp]:
        """Give up the work of bundles that takes more than `limit` seconds per image: it ends with
        ComputeTimeout, and a new thread has its slot."""
        return self._threads.give_up_overdue(limit, ComputeTimeout)

    def close(self, limit: float = 3600.0) -> None:
        """Wait for the work that has begun, `limit` seconds at most."""
        self._threads.close(limit)

    def _take_slot(self) -> None:
        self._free -= 1
        if not self._free:
            self._busy_since = perf_counter()

    def _start(self, tasks: Sequence[Task]) -> None:
        self._threads.put(tasks, partial(self._finished, len(tasks)))

    def _finished(self, jobs: int, seconds: float) -> None:
        self._seconds_per_job += 0.05 * (seconds / jobs - self._seconds_per_job)
        # The next group first, so that its thread does not wait for these answers to be written.
        self._fill_slot()

    def _fill_slot(self) -> None:
        """Give a taken slot to the next work, or free it."""
        while self._continuing:
            gathered = self._continuing.popleft()()
            if gathered is not None:
                self._start([gathered])
                return
        if group := self._group():
            self._start([job.task() for job in group])
        else:
            self._free += 1

    def _group(self) -> list[_Job]:
        """The next jobs of the queue; empty if none waits."""
        most = self._group_size()
        group: list[_Job] = []
        while len(group) < most and (job := self._lanes.first()) is not None:
            if group and (job.alone or group[-1].alone):
                break
            self._lanes.take()
            if job.begin():
                self._waiting -= 1
                group.append(job)
            elif job.result.cancelled():
                self._waiting -= 1
        return group

    def _group_size(self) -> int:
        """Number of images that a thread may get at once.

        One, unless no slot has been free for some time: then answers as a whole come no later for leaving in
        groups, because a client with an early answer only waits longer for the next one.
        """
        if perf_counter() - self._busy_since < SUSTAINED:
            return 1
        in_time = 1 + int(MAX_DELAY / max(self._seconds_per_job, 1e-6))
        return max(1, min(MAX_GROUP, self._waiting // self.slots, in_time))

    def _expire(self, job: _Job) -> None:
        if not job.result.done():
            self._waiting -= 1
            job.set_exception(DeadlinePassed())
