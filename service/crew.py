"""Threads that compute for an event loop.

A hop to a thread and back is paid by every group of tasks, so there is one queue in and one call back,
and none of the locks and callbacks that a general executor needs for what is never used here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import perf_counter
from typing import Any

Done = Callable[[Any, BaseException | None], None]
"""Told the result, or the error, on the event loop."""

Task = tuple[Callable[[], Any], Done]

_Outcome = tuple[Any, BaseException | None]
_Tell = Callable[[float, Sequence[_Outcome]], None]


class Crew:
    """So many threads; `close` at the end."""

    def __init__(self, threads: int, name: str) -> None:
        self._groups: SimpleQueue[tuple[list[Callable[[], Any]], _Tell] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, tasks: Sequence[Task], free: Callable[[float], None]) -> None:
        """Have one thread do these, one after another.

        On this event loop, when all of them are done, `free` is told the seconds that they took; then each
        is told its outcome.
        """
        loop = asyncio.get_running_loop()
        works, told = [work for work, _ in tasks], [done for _, done in tasks]

        def tell(seconds: float, outcomes: Sequence[_Outcome]) -> None:
            free(seconds)
            for done, outcome in zip(told, outcomes, strict=True):
                done(*outcome)

        def tell_from_thread(seconds: float, outcomes: Sequence[_Outcome]) -> None:
            loop.call_soon_threadsafe(tell, seconds, outcomes)

        self._groups.put((works, tell_from_thread))

    def close(self) -> None:
        """End the threads when they have done what they were given, and wait for it."""
        for _ in self._threads:
            self._groups.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            _perform(*group)
            # Nothing of what is done may be kept alive while the thread waits for more.
            del group


def _perform(works: Sequence[Callable[[], Any]], tell: _Tell) -> None:
    began = perf_counter()
    outcomes = [_outcome(work) for work in works]
    try:
        tell(perf_counter() - began, outcomes)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return


def _outcome(work: Callable[[], Any]) -> _Outcome:
    try:
        return work(), None
    except BaseException as fault:
        # Raised again where the result is awaited.
        return None, fault
