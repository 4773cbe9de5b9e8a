"""Who computes next: a bounded queue in front of the cores.

At most `slots` images are computed at a time, because more than one a core only makes all of them
slower. The rest wait, at most `limit` of them, in two lanes that are served in turn, so that a large
batch does not starve single requests. A full queue refuses at once; whoever waits past its deadline is
let go without having been computed.

Under sustained load a core is given several images at once, and their answers leave together. What the
event loop does for an image takes several times as long when a model has just swept its code and data out
of the core's caches; so it does it for a group.
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

from service.compute.threads import Crew, Done, Task
from service.problems import RequestError, refused

MOST_TOGETHER: Final = 4
"""Images that a core is given at once, at most."""
SUSTAINED: Final = 0.25
"""Seconds without a free core before answers are held back."""
LONGEST_HELD: Final = 0.035
"""Seconds that an answer waits for those that leave with it, at most."""

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
        """Whose turn it is; None where nobody waits."""
        lane = self._lane()
        return None if lane is None else self._queues[lane][0]

    def take(self) -> _Item | None:
        """The same, who then leaves the queue."""
        lane = self._lane()
        if lane is None:
            return None
        self._next = Lane(1 - lane)
        return self._queues[lane].popleft()

    def _lane(self) -> Lane | None:
        return next((lane for lane in (self._next, Lane(1 - self._next)) if self._queues[lane]), None)


@dataclass(slots=True, eq=False)
class Waiter(Generic[_Result]):
    """Waits for a result, until its deadline."""

    result: asyncio.Future[_Result]
    timer: asyncio.TimerHandle | None = None

    def begin(self) -> bool:
        """Whether somebody still waits, now that its turn has come."""
        if self.timer is not None:
            self.timer.cancel()
        return not self.result.done()

    def settle(self, result: _Result) -> None:
        """Hand over the result, if somebody still waits."""
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Hand over the error, if somebody still waits."""
        if not self.result.done():
            self.result.set_exception(error)


@dataclass(slots=True, eq=False)
class _Job(Waiter[Any]):
    work: Callable[[], Any] = field(kw_only=True)
    deadline: float = field(kw_only=True)
    alone: bool = field(kw_only=True)

    def compute(self) -> Any:
        """Do the work, on a thread, if somebody still waits for it and it is not too late."""
        if self.result.done():
            return None
        if perf_counter() > self.deadline:
            raise deadline_passed()
        return self.work()

    def finish(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self.settle(result)
        else:
            self.fail(error)


Gather = Callable[[], tuple[Callable[[], Any], Done] | None]
"""Asked when a core is free: what there is to do and who is told the outcome; None where nothing is left."""


class Admission:
    """Used from one event loop. Times are those of `time.perf_counter`, in seconds."""

    def __init__(self, slots: int, limit: int) -> None:
        self.slots = slots
        self.limit = limit
        self._free = slots
        self._busy_since = 0.0
        """When the last free core was taken."""
        self._crew = Crew(slots, "predict", longest_held=LONGEST_HELD)
        self._lanes: Lanes[_Job] = Lanes()
        self._begun: deque[Gather] = deque()
        self._waiting = 0
        self._seconds_a_job = 0.05

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def running(self) -> int:
        return self.slots - self._free

    def refuse_if_full(self, places: int) -> None:
        """Raise the 503 where `places` more images would not find a place."""
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
    ) -> asyncio.Future[_Result]:
        """What `work` returns or raises, once a core was free for it; RequestError (504) where the
        deadline passes first.

        Not `bounded`: wait even in a full queue (the rest of an accepted batch). `alone`: its outcome is
        never held back for that of others, since it is no answer yet. Raises RequestError (503) at once
        where the queue is full. Work that has begun is not stopped, also where nobody waits for it any
        more, and keeps its core until it is done.
        """
        loop = asyncio.get_running_loop()
        job = _Job(loop.create_future(), work=work, deadline=deadline, alone=alone)
        if self._free:
            self._take_core()
            self._start([(job.compute, job.finish)])
            return job.result
        if bounded and self._waiting >= self.limit:
            raise self.full("images", self._waiting, self.limit)
        self._waiting += 1
        job.timer = loop.call_later(max(0.0, deadline - perf_counter()), self._expire, job)
        self._lanes.put(lane, job)
        return job.result

    def run_begun(self, gather: Gather) -> None:
        """Have work done before all that waits, since it continues what has begun."""
        self._begun.append(gather)
        if self._free:
            self._take_core()
            self._next()

    def full(self, what: str, waiting: int, limit: int) -> RequestError:
        """The 503 of a queue that has no place."""
        wait = (waiting + 1) * self._seconds_a_job / self.slots
        return refused(
            "queue-full",
            503,
            f"{waiting} {what} are waiting; at most {limit} may",
            value=waiting,
            limit=limit,
            headers={"Retry-After": str(max(1, math.ceil(wait)))},
        )

    def close(self) -> None:
        """Wait for what is being computed."""
        self._crew.close()

    def _take_core(self) -> None:
        self._free -= 1
        if not self._free:
            self._busy_since = perf_counter()

    def _start(self, tasks: Sequence[Task]) -> None:
        self._crew.put(tasks, partial(self._finished, len(tasks)))

    def _finished(self, jobs: int, seconds: float) -> None:
        self._seconds_a_job += 0.05 * (seconds / jobs - self._seconds_a_job)
        # The next ones first, so that their core does not wait for these answers to be written.
        self._next()

    def _next(self) -> None:
        """Give a core that is taken to whose turn it is, or set it free."""
        while self._begun:
            gathered = self._begun.popleft()()
            if gathered is not None:
                self._start([gathered])
                return
        if group := self._group():
            self._start([(job.compute, job.finish) for job in group])
        else:
            self._free += 1

    def _group(self) -> list[_Job]:
        """Those whose turn it is; none where nobody waits."""
        most = self._together()
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

    def _together(self) -> int:
        """How many images a core may be given at once.

        One, unless the cores have had no pause for some time: then answers as a whole come no later for
        being told in groups, since who gets one early only waits longer the next time.
        """
        if perf_counter() - self._busy_since < SUSTAINED:
            return 1
        in_time = 1 + int(LONGEST_HELD / max(self._seconds_a_job, 1e-6))
        return max(1, min(MOST_TOGETHER, self._waiting // self.slots, in_time))

    def _expire(self, job: _Job) -> None:
        if not job.result.done():
            self._waiting -= 1
            job.fail(deadline_passed())


def deadline_passed() -> RequestError:
    """The 504 of work that would come too late."""
    return refused(
        "deadline-passed", 504, "the deadline passed before the image was decided", field="X-Deadline-Ms"
    )
