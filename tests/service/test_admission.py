"""The queue in front of the cores."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from service.admission import Admission, Lane
from service.problems import RequestError


class Line:
    """Starts jobs that hold a slot until they are told to go on, and notes their order."""

    def __init__(self, slots: int, limit: int) -> None:
        self.admission = Admission(slots, limit)
        self.order: list[str] = []
        self.go_on = asyncio.Semaphore(0)
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, name: str, lane: Lane = Lane.SINGLE, seconds: float = 60.0) -> None:
        async def job() -> None:
            async with self.admission.slot(lane, perf_counter() + seconds):
                self.order.append(name)
                await self.go_on.acquire()

        self.tasks[name] = asyncio.create_task(job())
        await asyncio.sleep(0)

    async def finish(self) -> None:
        for _ in self.tasks:
            self.go_on.release()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=2)
        for name in ("running", "first", "second", "third"):
            await line.start(name)
        with pytest.raises(RequestError) as refusal:
            await line.tasks["third"]
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
        await line.start("running")
        for number in range(4):
            await line.start(f"batch{number}", Lane.BATCH)
        await line.start("single0")
        await line.start("single1")
        await line.finish()
        assert line.order == ["running", "single0", "batch0", "single1", "batch1", "batch2", "batch3"]

    asyncio.run(scenario())


def test_waiting_past_the_deadline_ends_without_a_slot() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=5)
        await line.start("running")
        await line.start("hasty", seconds=0.02)
        await line.start("patient")
        with pytest.raises(RequestError) as refusal:
            await line.tasks["hasty"]
        assert refusal.value.problem.status == 504
        assert line.admission.waiting == 1
        await line.finish()
        assert line.order == ["running", "patient"]

    asyncio.run(scenario())


def test_a_waiter_that_is_cancelled_leaves_no_hole() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=5)
        for name in ("running", "leaves", "stays"):
            await line.start(name)
        line.tasks["leaves"].cancel()
        await line.finish()
        assert line.order == ["running", "stays"]
        assert (line.admission.running, line.admission.waiting) == (0, 0)

    asyncio.run(scenario())


def test_cancelled_in_the_moment_of_its_turn_it_passes_the_slot_on() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=5)
        for name in ("running", "leaves", "stays"):
            await line.start(name)
        line.go_on.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        line.tasks["leaves"].cancel()
        await line.finish()
        assert "stays" in line.order
        assert line.admission.running == 0

    asyncio.run(scenario())


def test_at_most_as_many_run_as_there_are_slots() -> None:
    async def scenario() -> None:
        admission, running, most = Admission(3, 100), 0, 0

        async def job() -> None:
            nonlocal running, most
            async with admission.slot(Lane.SINGLE, perf_counter() + 60):
                running += 1
                most = max(most, running)
                await asyncio.sleep(0.001)
                running -= 1

        await asyncio.gather(*(job() for _ in range(50)))
        assert most == 3
        assert admission.running == 0

    asyncio.run(scenario())


def test_a_batch_is_refused_before_it_is_read() -> None:
    admission = Admission(slots=2, limit=1)
    admission.refuse_if_full(3)
    with pytest.raises(RequestError):
        admission.refuse_if_full(4)
