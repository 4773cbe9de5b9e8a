"""Thread pool that computes for an event loop.

Every group of tasks pays for one hop to a thread and back, so there is one queue in and one callback out,
without the locks and callbacks of a general executor.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Any

Done = Callable[[Any, BaseException | None], None]
"""Called on the event loop with the result, or the error, of a task."""

Task = tuple[Callable[[], Any], Done]
GroupDone = Callable[[float], None]
"""Called on the event loop with the seconds that a group took."""

_Group = tuple[asyncio.AbstractEventLoop, Sequence[Task], GroupDone]


class ThreadPool:
    """A fixed number of threads; `close` at the end."""

    def __init__(self, threads: int, name: str, *, max_delay: float) -> None:
        """`max_delay`: seconds for which an outcome may wait for the others of its group; beyond that it
        waits only for the task that is running then."""
        self._max_delay = max_delay
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, tasks: Sequence[Task], group_done: GroupDone) -> None:
        """Have one thread run these tasks, one after another, and deliver their outcomes on this event loop.

        The outcomes come together, after `group_done`, when all tasks are done; some of them earlier if the
        group takes long.
        """
        self._groups.put((asyncio.get_running_loop(), tasks, group_done))

    def close(self) -> None:
        """End the threads after the groups that they have got, and wait for it."""
        for _ in self._threads:
            self._groups.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            self._perform(*group)
            # No reference to a finished group may outlive it while the thread waits for more.
            del group

    def _perform(self, loop: asyncio.AbstractEventLoop, tasks: Sequence[Task], group_done: GroupDone) -> None:
        began = oldest = perf_counter()
        outcomes: list[Callable[[], None]] = []
        for work, done in tasks:
            if outcomes and perf_counter() - oldest > self._max_delay:
                _call_on(loop, outcomes)
                outcomes = []
            outcome = _outcome(work)
            if not outcomes:
                oldest = perf_counter()
            outcomes.append(partial(done, *outcome))
        _call_on(loop, [partial(group_done, perf_counter() - began), *outcomes])


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:
        # Raised again where the result is awaited.
        return None, error


def _call_on(loop: asyncio.AbstractEventLoop, calls: Sequence[Callable[[], None]]) -> None:
    try:
        loop.call_soon_threadsafe(_call_each, calls)
    except RuntimeError:
        # The loop is closed, so no result is awaited any more.
        return


def _call_each(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
