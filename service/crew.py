"""Threads that compute for an event loop.

A hop to a thread and back is paid by every image, so there is one queue in and one call back, and none
of the locks and callbacks that a general executor needs for what is never used here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, BaseException | None], None]
"""Told the result, or the error, on the event loop."""

_Task = tuple[asyncio.AbstractEventLoop, Callable[[], Any], Done]


class Crew:
    """So many threads; `close` at the end."""

    def __init__(self, threads: int, name: str) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, work: Callable[[], Any], done: Done) -> None:
        """Have `work` run on a thread, and `done` called on this event loop afterwards."""
        self._tasks.put((asyncio.get_running_loop(), work, done))

    def close(self) -> None:
        """End the threads when they have done what they were given, and wait for it."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            _perform(*task)
            # Nothing of a finished task may be kept alive while the thread waits for the next.
            del task


def _perform(loop: asyncio.AbstractEventLoop, work: Callable[[], Any], done: Done) -> None:
    result, error = None, None
    try:
        result = work()
    except BaseException as fault:
        # Raised again where the result is awaited.
        error = fault
    try:
        loop.call_soon_threadsafe(done, result, error)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return
    finally:
        # An error's traceback refers to this frame, which must not refer to the error.
        del error
