"""The queue in front of the cores."""

from __future__ import annotations

import asyncio
import threading
from time import perf_counter

import pytest

from service.compute import admission
from service.compute.admission import MOST_TOGETHER, Admission, Lane
from service.problems import RequestError


class Line:
    """Starts jobs that hold a core until they are told to go on, and notes their order."""

    def __init__(self, slots: int, limit: int) -> None:
        self.admission = Admission(slots, limit)
        self.order: list[str] = []
        self.go_on = threading.Semaphore(0)
        self.results: dict[str, asyncio.Future[str]] = {}

    def start(
        self, name: str, lane: Lane = Lane.SINGLE, seconds: float = 60.0, *, alone: bool = False
    ) -> None:
        def work() -> str:
            self.order.append(name)
            self.go_on.acquire()
            return name

        self.results[name] = self.admission.run(lane, perf_counter() + seconds, work, alone=alone)

    def jobs_take(self, seconds: float) -> None:
        """As if those before had taken so long each."""
        self.admission._seconds_a_job = seconds

    async def let_go_on(self, jobs: int) -> None:
        """So many more jobs end, and the next one begins."""
        begun = len(self.order) + jobs
        for _ in range(jobs):
            self.go_on.release()
        while len(self.order) < min(begun, len(self.results)):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)

    def done(self) -> set[str]:
        return {name for name, result in self.results.items() if result.done()}

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


@pytest.fixture
def sustained(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there had been much to do for a while."""
    monkeypatch.setattr(admission, "SUSTAINED", 0.0)


@pytest.mark.parametrize("held_back", [False, True])
def test_single_requests_and_batches_take_turns(held_back: bool, request: pytest.FixtureRequest) -> None:
    if held_back:
        request.getfixturevalue("sustained")

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
        while not line.order:
            await asyncio.sleep(0.001)
        line.results["leaves"].cancel()
        assert (line.order, line.admission.running, line.admission.waiting) == (["leaves"], 1, 1)
        await line.finish()
        assert line.order == ["leaves", "stays"]
        assert line.admission.running == 0

    asyncio.run(scenario())


def test_what_the_work_raises_is_raised_where_it_is_awaited() -> None:
    async def scenario() -> None:
        queue = Admission(1, 1)
        with pytest.raises(ZeroDivisionError):
            await queue.run(Lane.SINGLE, perf_counter() + 60, lambda: 1 // 0)
        assert await queue.run(Lane.SINGLE, perf_counter() + 60, lambda: 1 // 1) == 1
        assert queue.running == 0
        queue.close()

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
        queue = Admission(3, 100)
        await asyncio.gather(*(queue.run(Lane.SINGLE, perf_counter() + 60, work) for _ in range(50)))
        assert most == 3
        assert queue.running == 0
        queue.close()

    asyncio.run(scenario())


def test_a_batch_is_refused_before_it_is_read() -> None:
    queue = Admission(slots=2, limit=1)
    queue.refuse_if_full(3)
    with pytest.raises(RequestError):
        queue.refuse_if_full(4)
    queue.close()


def test_a_burst_is_answered_one_by_one() -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=20)
        for name in "abcdef":
            line.start(name)
        for count in range(1, 4):
            await line.let_go_on(1)
            assert line.done() == set("abcdef"[:count])
        await line.finish()

    asyncio.run(scenario())


def test_under_sustained_load_answers_leave_together(sustained: None) -> None:
    names = [f"{number:02}" for number in range(12)]

    async def scenario() -> None:
        line = Line(slots=1, limit=20)
        line.jobs_take(0.001)
        for name in names:
            line.start(name)
        await line.let_go_on(1)
        assert line.done() == {"00"}
        await line.let_go_on(MOST_TOGETHER - 1)
        # Held back for the last one of its group.
        assert line.done() == {"00"}
        await line.let_go_on(1)
        assert line.done() == set(names[: 1 + MOST_TOGETHER])
        await line.finish()
        assert line.order == names

    asyncio.run(scenario())


def test_no_answer_is_held_back_for_long(sustained: None) -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=20)
        line.jobs_take(2 * admission.LONGEST_HELD)
        for name in "abcdef":
            line.start(name)
        await line.let_go_on(2)
        assert line.done() == {"a", "b"}
        await line.finish()

    asyncio.run(scenario())


def test_nobody_waits_longer_for_a_core_because_others_share_one(sustained: None) -> None:
    async def scenario() -> None:
        line = Line(slots=2, limit=20)
        line.jobs_take(0.001)
        for name in "abcd":
            line.start(name)
        # c and d, on one core each.
        await line.let_go_on(2)
        assert line.order[2:] == ["c", "d"]
        await line.finish()

    asyncio.run(scenario())


def test_what_is_no_answer_yet_is_not_held_back(sustained: None) -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=20)
        line.jobs_take(0.001)
        for name in "abcdefg":
            line.start(name, alone=name in "ce")
        for finished in ("a", "ab", "abc", "abcd", "abcde"):
            await line.let_go_on(1)
            assert line.done() == set(finished)
        await line.finish()
        assert line.order == list("abcdefg")

    asyncio.run(scenario())


def test_who_leaves_or_is_late_in_a_group_is_not_computed(sustained: None) -> None:
    async def scenario() -> None:
        line = Line(slots=1, limit=20)
        line.jobs_take(0.001)
        for name in ("running", "first", "leaves", "late", "last"):
            line.start(name, seconds=0.1 if name == "late" else 60.0)
        await line.let_go_on(1)
        assert line.order == ["running", "first"]
        line.results["leaves"].cancel()
        await asyncio.sleep(0.12)
        await line.finish()
        assert line.order == ["running", "first", "last"]
        with pytest.raises(RequestError) as refusal:
            await line.results["late"]
        assert refusal.value.problem.status == 504
        assert (line.admission.running, line.admission.waiting) == (0, 0)

    asyncio.run(scenario())
