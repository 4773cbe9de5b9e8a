"""Admission: the bounded queue in front of the worker threads."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from time import perf_counter

import pytest

from service.compute import admission
from service.compute.admission import MAX_GROUP, Admission, Lane
from service.errors import DeadlinePassed, QueueFull


class JobQueue:
    """Admission with jobs that hold their slot until released; records the order in which they begin."""

    def __init__(self, slots: int, limit: int) -> None:
        self.admission = Admission(slots, limit)
        self.order: list[str] = []
        self._released = threading.Semaphore(0)
        self.results: dict[str, asyncio.Future[str]] = {}

    def start(
        self, name: str, lane: Lane = Lane.SINGLE, seconds: float = 60.0, *, alone: bool = False
    ) -> None:
        def work() -> str:
            self.order.append(name)
            self._released.acquire()
            return name

        self.results[name] = self.admission.run(lane, perf_counter() + seconds, work, alone=alone)

    def set_time_per_job(self, seconds: float) -> None:
        """Set the measured time per job, in seconds."""
        self.admission._seconds_per_job = seconds

    async def release(self, jobs: int) -> None:
        """Let so many jobs end, and wait until the next one begins."""
        begun = len(self.order) + jobs
        for _ in range(jobs):
            self._released.release()
        while len(self.order) < min(begun, len(self.results)):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)

    def done(self) -> set[str]:
        return {name for name, result in self.results.items() if result.done()}

    async def finish(self) -> None:
        for _ in self.results:
            self._released.release()
        await asyncio.gather(*self.results.values(), return_exceptions=True)
        while self.admission.running:
            await asyncio.sleep(0.001)
        self.admission.close()


def test_a_full_queue_refuses_at_once_with_the_time_to_retry() -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=2)
        for name in ("running", "first", "second"):
            queue.start(name)
        with pytest.raises(QueueFull) as refusal:
            queue.start("third")
        assert (refusal.value.value, refusal.value.limit) == (2, 2)
        assert refusal.value.retry_after is not None
        assert refusal.value.retry_after >= 1
        await queue.finish()
        assert queue.order == ["running", "first", "second"]
        assert (queue.admission.running, queue.admission.waiting) == (0, 0)

    asyncio.run(scenario())


@pytest.fixture
def sustained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any load counts as sustained."""
    monkeypatch.setattr(admission, "SUSTAINED", 0.0)


@pytest.mark.parametrize("grouped", [False, True])
def test_single_requests_and_batches_take_turns(grouped: bool, request: pytest.FixtureRequest) -> None:
    if grouped:
        request.getfixturevalue("sustained")

    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=20)
        queue.start("running")
        for number in range(4):
            queue.start(f"batch{number}", Lane.BATCH)
        queue.start("single0")
        queue.start("single1")
        await queue.finish()
        assert queue.order == ["running", "single0", "batch0", "single1", "batch1", "batch2", "batch3"]

    asyncio.run(scenario())


def test_a_job_past_its_deadline_is_not_computed() -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=5)
        queue.start("running")
        queue.start("hasty", seconds=0.02)
        queue.start("patient")
        with pytest.raises(DeadlinePassed):
            await queue.results["hasty"]
        assert queue.admission.waiting == 1
        await queue.finish()
        assert queue.order == ["running", "patient"]
        assert (queue.admission.running, queue.admission.waiting) == (0, 0)

    asyncio.run(scenario())


def test_a_cancelled_job_frees_its_place() -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=5)
        for name in ("running", "leaves", "stays"):
            queue.start(name)
        queue.results["leaves"].cancel()
        await queue.finish()
        assert queue.order == ["running", "stays"]
        assert (queue.admission.running, queue.admission.waiting) == (0, 0)

    asyncio.run(scenario())


def test_work_whose_result_is_no_longer_awaited_keeps_its_slot_to_its_end() -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=5)
        queue.start("leaves")
        queue.start("stays")
        while not queue.order:
            await asyncio.sleep(0.001)
        queue.results["leaves"].cancel()
        assert (queue.order, queue.admission.running, queue.admission.waiting) == (["leaves"], 1, 1)
        await queue.finish()
        assert queue.order == ["leaves", "stays"]
        assert queue.admission.running == 0

    asyncio.run(scenario())


def test_an_error_of_the_work_is_raised_where_the_result_is_awaited() -> None:
    async def scenario() -> None:
        queue = Admission(1, 1)
        with pytest.raises(ZeroDivisionError):
            await queue.run(Lane.SINGLE, perf_counter() + 60, lambda: 1 // 0)
        assert await queue.run(Lane.SINGLE, perf_counter() + 60, lambda: 1 // 1) == 1
        assert queue.running == 0
        queue.close()

    asyncio.run(scenario())


def test_at_most_as_many_jobs_run_as_there_are_slots() -> None:
    running, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(3)

    def work(number: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if number < 3:
            together.wait(150)
        threading.Event().wait(0.001)
        with lock:
            running -= 1

    async def scenario() -> None:
        queue = Admission(3, 100)
        jobs = (partial(work, number) for number in range(50))
        await asyncio.gather(*(queue.run(Lane.SINGLE, perf_counter() + 600, job) for job in jobs))
        assert most == 3
        assert queue.running == 0
        queue.close()

    asyncio.run(scenario())


def test_a_batch_is_refused_before_it_is_read() -> None:
    queue = Admission(slots=2, limit=1)
    queue.refuse_if_full(3)
    with pytest.raises(QueueFull):
        queue.refuse_if_full(4)
    queue.close()


def test_answers_to_a_burst_leave_one_by_one() -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=20)
        for name in "abcdef":
            queue.start(name)
        for count in range(1, 4):
            await queue.release(1)
            assert queue.done() == set("abcdef"[:count])
        await queue.finish()

    asyncio.run(scenario())


def test_under_sustained_load_answers_leave_together(sustained: None) -> None:
    names = [f"{number:02}" for number in range(12)]

    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=20)
        queue.set_time_per_job(0.001)
        for name in names:
            queue.start(name)
        await queue.release(1)
        assert queue.done() == {"00"}
        await queue.release(MAX_GROUP - 1)
        # Delayed for the last one of its group.
        assert queue.done() == {"00"}
        await queue.release(1)
        assert queue.done() == set(names[: 1 + MAX_GROUP])
        await queue.finish()
        assert queue.order == names

    asyncio.run(scenario())


def test_no_answer_is_delayed_for_long(sustained: None) -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=20)
        queue.set_time_per_job(2 * admission.MAX_DELAY)
        for name in "abcdef":
            queue.start(name)
        await queue.release(2)
        assert queue.done() == {"a", "b"}
        await queue.finish()

    asyncio.run(scenario())


def test_groups_leave_no_thread_idle(sustained: None) -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=2, limit=20)
        queue.set_time_per_job(0.001)
        for name in "abcd":
            queue.start(name)
        # c and d, on one thread each.
        await queue.release(2)
        assert queue.order[2:] == ["c", "d"]
        await queue.finish()

    asyncio.run(scenario())


def test_an_intermediate_result_is_not_delayed(sustained: None) -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=20)
        queue.set_time_per_job(0.001)
        for name in "abcdefg":
            queue.start(name, alone=name in "ce")
        for finished in ("a", "ab", "abc", "abcd", "abcde"):
            await queue.release(1)
            assert queue.done() == set(finished)
        await queue.finish()
        assert queue.order == list("abcdefg")

    asyncio.run(scenario())


def test_cancelled_and_late_jobs_of_a_group_are_not_computed(sustained: None) -> None:
    async def scenario() -> None:
        queue = JobQueue(slots=1, limit=20)
        queue.set_time_per_job(0.001)
        for name in ("running", "first", "leaves", "late", "last"):
            queue.start(name, seconds=0.1 if name == "late" else 60.0)
        await queue.release(1)
        assert queue.order == ["running", "first"]
        queue.results["leaves"].cancel()
        await asyncio.sleep(0.12)
        await queue.finish()
        assert queue.order == ["running", "first", "last"]
        with pytest.raises(DeadlinePassed):
            await queue.results["late"]
        assert (queue.admission.running, queue.admission.waiting) == (0, 0)

    asyncio.run(scenario())
