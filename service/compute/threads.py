"""Threads that compute for an event loop.

A hop to a thread and back is paid by every group of tasks, so there is one queue in and one call back,
and none of the locks and callbacks that a general executor needs for what is never used here.
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
"""Told the result, or the error, on the event loop."""

Task = tuple[Callable[[], Any], Done]
Free = Callable[[float], None]
"""Told the seconds that a group took, on the event loop."""

_Group = tuple[asyncio.AbstractEventLoop, Sequence[Task], Free]


class Crew:
    """So many threads; `close` at the end."""

    def __init__(self, threads: int, name: str, *, longest_held: float) -> None:
        """`longest_held`: seconds after which an outcome no longer waits for those of its group; it waits
        for the task that is being done then."""
        self._longest_held = longest_held
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, tasks: Sequence[Task], free: Free) -> None:
        """Have one thread do these, one after another, and tell their outcomes on this event loop.

        They are told together, after `free`, when all of them are done; some of them earlier where that
        takes long.
        """
        self._groups.put((asyncio.get_running_loop(), tasks, free))

    def close(self) -> None:
        """End the threads when they have done what they were given, and wait for it."""
        for _ in self._threads:
            self._groups.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            self._perform(*group)
            # Nothing of what is done may be kept alive while the thread waits for more.
            del group

    def _perform(self, loop: asyncio.AbstractEventLoop, tasks: Sequence[Task], free: Free) -> None:
        began = held_since = perf_counter()
        held: list[Callable[[], None]] = []
        for work, done in tasks:
            if held and perf_counter() - held_since > self._longest_held:
                _call_on(loop, held)
                held = []
            outcome = _outcome(work)
            if not held:
                held_since = perf_counter()
            held.append(partial(done, *outcome))
        _call_on(loop, [partial(free, perf_counter() - began), *held])


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as fault:
        # Raised again where the result is awaited.
        return None, fault


def _call_on(loop: asyncio.AbstractEventLoop, calls: Sequence[Callable[[], None]]) -> None:
    try:
        loop.call_soon_threadsafe(_call_each, calls)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return


def _call_each(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
