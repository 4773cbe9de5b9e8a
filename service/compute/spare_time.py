"""Spare time: work on images that no answer waits for.

It begins only while a slot is free, on a thread of the lowest priority, after the answer; under load it is
the first to be shed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from service.compute.admission import Admission
from service.compute.threads import Done, GivenUp, Task, ThreadPool
from service.errors import ComputeTimeout

_POLL: Final = 0.01
"""Seconds between two checks for a free slot."""
_LOWEST_PRIORITY: Final = 19


@dataclass(frozen=True, slots=True)
class SpareWork:
    """Work for the spare time of one worker."""

    compute: Callable[[], Any]
    """Called on the thread"""
    done: Done
    """Called on the event loop with the result, or the error"""
    shed: Callable[[], None] = lambda: None
    """Called on the event loop if the work is dropped instead"""
    size: int = 0
    """Bytes of memory that it occupies while it waits, about"""
    owner: str | None = None
    """Label of the bundle that computes; None: the work is never given up"""
    patience: int = 1
    """Times the limit of a computation after which it is given up"""


class SpareTime:
    """Queue of one worker; used from one event loop."""

    def __init__(self, admission: Admission, *, max_images: int, max_bytes: int) -> None:
        """`max_images`, `max_bytes`: of the work that waits."""
        self._admission = admission
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._waiting: deque[SpareWork] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._thread = ThreadPool(1, "spare", max_delay=0.0, initializer=_lower_priority)
        self._task = asyncio.create_task(self._run())

    def offer(self, work: SpareWork) -> None:
        """Queue the work, or shed it; never waits."""
        if len(self._waiting) >= self._max_images or self._bytes + work.size > self._max_bytes:
            work.shed()
            return
        self._waiting.append(work)
        self._bytes += work.size
        self._filled.set()

    @property
    def lost(self) -> int:
        """Number of threads that were given up and still compute"""
        return self._thread.lost

    def give_up_overdue(self, limit: float) -> list[GivenUp]:
        """Give up an image that takes more than `limit` seconds; a new thread goes on with the others."""
        return self._thread.give_up_overdue(limit, ComputeTimeout)

    async def close(self, limit: float = 3600.0) -> None:
        """Shed the work that waits, and let the one in progress end, within `limit` seconds."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for work in self._waiting:
            work.shed()
        self._waiting.clear()
        await asyncio.to_thread(self._thread.close, limit)

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            while self._waiting:
                while self._admission.running >= self._admission.slots:
                    await asyncio.sleep(_POLL)
                work = self._waiting.popleft()
                self._bytes -= work.size
                ended = asyncio.Event()
                task = Task(work.compute, partial(_settle, work.done, ended), work.owner, work.patience)
                # These names must not keep a removed bundle in memory.
                del work
                self._thread.put([task], lambda seconds: None)
                del task
                await ended.wait()
            self._filled.clear()


def _settle(done: Done, ended: asyncio.Event, result: Any, error: BaseException | None) -> None:
    ended.set()
    done(result, error)


def _lower_priority() -> None:
    # On Linux this is the priority of the thread; elsewhere it would be that of the whole process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
