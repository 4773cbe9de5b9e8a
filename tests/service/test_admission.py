"""The queue in front of the cores."""

from __future__ import annotations

import asyncio
import threading
from time import perf_counter

import pytest

from service.admission import Admission, Lane
from service.problems import RequestError


class Line:
    """Starts jobs that hold a core until they are told to go on, and notes their order."""

    def __init__(self, slots: int, limit: int) -> None:
        self.admission = Admission(slots, limit)
        self.order: list[str] = []
        self.go_on = threading.Semaphore(0)
        self.results: dict[str, asyncio.Future[str]] = {}

    def start(self, name: str, lane: Lane = Lane.SINGLE, seconds: float = 60.0) -> None:
        def work() -> str:
            self.order.append(name)
            self.go_on.acquire()
            return name

        self.results[name] = self.admission.run(lane, perf_counter() + seconds, work)

    async def finish(self) -> None:
        for _ in self.results:
            self.go_on.release()
        await asyncio.gather(*self.results.values(), return_exceptions=True)
        while self.admission.running:
            await asyncio.sleep(0.001)
        self.admission.close()


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=2)
        for name in ("running", "first", "second"):
            line.start(name)
        with pytest.raises(RequestError) as refusal:
            line.start("third")
        problem = refusal.value.problem
        assert (problem.status, problem.kind, problem.value, problem.limit) == (503, "queue-full", 2, 2)
        assert problem.headers is not None
        assert int(problem.headers["Retry-After"]) >= 1
        await line.finish()
        assert line.order == ["running", "first", "second"]
        assert (line.admission.running, line.admission.waiting) == (0, 0)

    asyncio.run(scenario())


def test_single_requests_and_batches_take_turns() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=20)
        line.start("running")
        for number in range(4):
            line.start(f"batch{number}", Lane.BATCH)
        line.start("single0")
        line.start("single1")
        await line.finish()
        assert line.order == ["running", "single0", "batch0", "single1", "batch1", "batch2", "batch3"]

    asyncio.run(scenario())


def test_waiting_past_the_deadline_ends_without_having_been_computed() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=5)
        line.start("running")
        line.start("hasty", seconds=0.02)
        line.start("patient")
        with pytest.raises(RequestError) as refusal:
            await line.results["hasty"]
        assert refusal.value.problem.status == 504
        assert line.admission.waiting == 1
        await line.finish()
        assert line.order == ["running", "patient"]
        assert (line.admission.running, line.admission.waiting) == (0, 0)

    asyncio.run(scenario())


def test_a_waiter_that_leaves_leaves_no_hole() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=5)
        for name in ("running", "leaves", "stays"):
            line.start(name)
        line.results["leaves"].cancel()
        await line.finish()
        assert line.order == ["running", "stays"]
        assert (line.admission.running, line.admission.waiting) == (0, 0)

    asyncio.run(scenario())


def test_work_that_nobody_waits_for_any_more_keeps_its_core_to_its_end() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=5)
        line.start("leaves")
        line.start("stays")
        line.results["leaves"].cancel()
        while not line.order:
            await asyncio.sleep(0.001)
        assert (line.order, line.admission.running, line.admission.waiting) == (["leaves"], 1, 1)
        await line.finish()
        assert line.order == ["leaves", "stays"]
        assert line.admission.running == 0

    asyncio.run(scenario())


def test_what_the_work_raises_is_raised_where_it_is_awaited() -> None:
    async def scenario() -> None:
        admission = Admission(1, 1)
        with pytest.raises(ZeroDivisionError):
            await admission.run(Lane.SINGLE, perf_counter() + 60, lambda: 1 // 0)
        assert await admission.run(Lane.SINGLE, perf_counter() + 60, lambda: 1 // 1) == 1
        assert admission.running == 0
        admission.close()

    asyncio.run(scenario())


def test_at_most_as_many_run_as_there_are_slots() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1

    async def scenario() -> None:
        admission = Admission(3, 100)
        await asyncio.gather(*(admission.run(Lane.SINGLE, perf_counter() + 60, work) for _ in range(50)))
        assert most == 3
        assert admission.running == 0
        admission.close()

    asyncio.run(scenario())


def test_a_batch_is_refused_before_it_is_read() -> None:
    admission = Admission(slots=2, limit=1)
    admission.refuse_if_full(3)
    with pytest.raises(RequestError):
        admission.refuse_if_full(4)
    admission.close()
