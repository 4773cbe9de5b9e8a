"""Threads that compute for an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from service.compute.threads import Crew


class Told:
    """What the event loop was told, in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def done(self, result: Any, error: BaseException | None) -> None:
        self.calls.append(result if error is None else type(error))

    def free(self, seconds: float) -> None:
        assert 0.0 <= seconds < 60.0
        self.calls.append("free")

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.calls) < count:
                await asyncio.sleep(0.001)


def test_a_group_is_told_together_after_its_thread_is_free() -> None:
    async def scenario() -> None:
        crew, told, go_on = Crew(1, "crew", longest_held=60.0), Told(), threading.Semaphore(0)
        crew.put([(lambda: 1, told.done), (lambda: 1 // 0, told.done), (go_on.acquire, told.done)], told.free)
        await asyncio.sleep(0.05)
        assert told.calls == []
        go_on.release()
        await told.wait_for(4)
        assert told.calls == ["free", 1, ZeroDivisionError, True]
        crew.close()

    asyncio.run(scenario())


def test_outcomes_do_not_wait_for_a_group_that_takes_longer_than_expected() -> None:
    async def scenario() -> None:
        crew, told, go_on = Crew(1, "crew", longest_held=0.02), Told(), threading.Semaphore(0)
        slow = threading.Event()
        tasks = [
            (lambda: "fast", told.done),
            (lambda: slow.wait(0.05), told.done),
            (go_on.acquire, told.done),
        ]
        crew.put(tasks, told.free)
        await told.wait_for(2)
        assert told.calls == ["fast", False]
        go_on.release()
        await told.wait_for(4)
        assert told.calls == ["fast", False, "free", True]
        crew.close()

    asyncio.run(scenario())


@pytest.mark.filterwarnings("error")
def test_outcomes_for_a_loop_that_is_closed_are_nobody_s() -> None:
    crew, told, go_on = Crew(1, "crew", longest_held=60.0), Told(), threading.Semaphore(0)

    async def scenario() -> None:
        crew.put([(go_on.acquire, told.done)], told.free)

    asyncio.run(scenario())
    go_on.release()
    crew.close()
    assert told.calls == []
