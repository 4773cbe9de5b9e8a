"""The thread pool that computes for an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from service.compute.threads import Task, ThreadPool


class Callbacks:
    """Records the calls on the event loop, in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def done(self, result: Any, error: BaseException | None) -> None:
        self.calls.append(result if error is None else type(error))

    def group_done(self, seconds: float) -> None:
        assert seconds >= 0.0
        self.calls.append("group done")

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(150):
            while len(self.calls) < count:
                await asyncio.sleep(0.001)


def test_the_outcomes_of_a_group_come_together_after_its_thread_is_free() -> None:
    async def scenario() -> None:
        pool, callbacks, released = ThreadPool(1, "pool", max_delay=60.0), Callbacks(), threading.Semaphore(0)
        pool.put(
            [
                Task(lambda: 1, callbacks.done),
                Task(lambda: 1 // 0, callbacks.done),
                Task(released.acquire, callbacks.done),
            ],
            callbacks.group_done,
        )
        await asyncio.sleep(0.05)
        assert callbacks.calls == []
        released.release()
        await callbacks.wait_for(4)
        assert callbacks.calls == ["group done", 1, ZeroDivisionError, True]
        pool.close()

    asyncio.run(scenario())


def test_outcomes_do_not_wait_for_a_group_that_takes_longer_than_expected() -> None:
    async def scenario() -> None:
        pool, callbacks, released = ThreadPool(1, "pool", max_delay=0.02), Callbacks(), threading.Semaphore(0)
        slow = threading.Event()
        tasks = [
            Task(lambda: "fast", callbacks.done),
            Task(lambda: slow.wait(0.05), callbacks.done),
            Task(released.acquire, callbacks.done),
        ]
        pool.put(tasks, callbacks.group_done)
        await callbacks.wait_for(2)
        assert callbacks.calls == ["fast", False]
        released.release()
        await callbacks.wait_for(4)
        assert callbacks.calls == ["fast", False, "group done", True]
        pool.close()

    asyncio.run(scenario())


@pytest.mark.filterwarnings("error")
def test_outcomes_for_a_closed_loop_are_dropped() -> None:
    pool, callbacks, released = ThreadPool(1, "pool", max_delay=60.0), Callbacks(), threading.Semaphore(0)

    async def scenario() -> None:
        pool.put([Task(released.acquire, callbacks.done)], callbacks.group_done)

    asyncio.run(scenario())
    released.release()
    pool.close()
    assert callbacks.calls == []


def test_a_task_without_end_costs_neither_the_others_of_its_group_nor_a_thread() -> None:
    async def scenario() -> None:
        pool, callbacks, released = ThreadPool(1, "pool", max_delay=60.0), Callbacks(), threading.Semaphore(0)
        began = threading.Event()

        def endless() -> bool:
            began.set()
            return released.acquire()

        pool.put(
            [
                Task(lambda: "before", callbacks.done, "good:1"),
                Task(endless, callbacks.done, "bad:1"),
                Task(lambda: "behind", callbacks.done, "good:1"),
            ],
            callbacks.group_done,
        )
        pool.put([Task(lambda: "next", callbacks.done, "good:1")], callbacks.group_done)
        assert await asyncio.to_thread(began.wait, 150)
        await asyncio.sleep(0.05)
        assert pool.give_up_overdue(3600.0, TimeoutError) == []
        # The first look that finds it overdue only suspects it.
        assert pool.give_up_overdue(0.01, TimeoutError) == []
        ((owner, seconds),) = pool.give_up_overdue(0.01, TimeoutError)
        assert owner == "bad:1"
        assert seconds > 0.01
        await callbacks.wait_for(6)
        assert callbacks.calls == ["before", TimeoutError, "group done", "behind", "group done", "next"]
        assert pool.lost == 1
        assert pool.give_up_overdue(0.0, TimeoutError) == []
        # Its end, if it comes, is nobody's outcome.
        released.release()
        while pool.lost:
            await asyncio.sleep(0.001)
        assert len(callbacks.calls) == 6
        pool.close()

    asyncio.run(scenario())


def test_a_batch_has_its_time_for_each_image_and_other_work_is_not_given_up() -> None:
    async def scenario() -> None:
        pool, callbacks, released = ThreadPool(2, "pool", max_delay=0.0), Callbacks(), threading.Semaphore(0)
        pool.put([Task(released.acquire, callbacks.done, "good:1", images=1000)], callbacks.group_done)
        pool.put([Task(released.acquire, callbacks.done)], callbacks.group_done)
        await asyncio.sleep(0.05)
        for _ in range(3):
            assert pool.give_up_overdue(0.01, TimeoutError) == []
        released.release(2)
        pool.close()

    asyncio.run(scenario())


def test_a_pool_closes_though_a_task_never_ends() -> None:
    async def scenario() -> None:
        pool, callbacks, released = ThreadPool(1, "pool", max_delay=0.0), Callbacks(), threading.Semaphore(0)
        pool.put([Task(released.acquire, callbacks.done, "bad:1")], callbacks.group_done)
        await asyncio.sleep(0.01)
        pool.close(0.05)
        released.release()

    asyncio.run(scenario())
