"""The thread pool that computes for an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from service.compute.threads import ThreadPool


class Callbacks:
    """Records the calls on the event loop, in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def done(self, result: Any, error: BaseException | None) -> None:
        self.calls.append(result if error is None else type(error))

    def group_done(self, seconds: float) -> None:
        assert 0.0 <= seconds < 60.0
        self.calls.append("group done")

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.calls) < count:
                await asyncio.sleep(0.001)


def test_the_outcomes_of_a_group_come_together_after_its_thread_is_free() -> None:
    async def scenario() -> None:
        pool, callbacks, released = ThreadPool(1, "pool", max_delay=60.0), Callbacks(), threading.Semaphore(0)
        pool.put(
            [
                (lambda: 1, callbacks.done),
                (lambda: 1 // 0, callbacks.done),
                (released.acquire, callbacks.done),
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
            (lambda: "fast", callbacks.done),
            (lambda: slow.wait(0.05), callbacks.done),
            (released.acquire, callbacks.done),
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
        pool.put([(released.acquire, callbacks.done)], callbacks.group_done)

    asyncio.run(scenario())
    released.release()
    pool.close()
    assert callbacks.calls == []
