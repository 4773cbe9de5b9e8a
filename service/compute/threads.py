"""Thread pool that computes for an event loop.

Every group of tasks pays for one hop to a thread and back, so there is one queue in and one callback out,
without the locks and callbacks of a general executor.

A thread cannot be stopped from outside. One whose task never ends is given up: its task fails, and a new
thread does what it would have done next.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from time import monotonic, perf_counter
from typing import Any, Final, NamedTuple

Done = Callable[[Any, BaseException | None], None]
"""Called on the event loop with the result, or the error, of a task."""

GroupDone = Callable[[float], None]
"""Called on the event loop with the seconds that a group took."""


_GIVEN_UP: Final = " (given up)"
"""End of the name of a thread that was given up"""


class Task(NamedTuple):
    """Work for a thread."""

    work: Callable[[], Any]
    done: Done
    owner: str | None = None
    """Label of the bundle that computes; None: the work is never given up."""
    images: int = 1
    """Images that the work computes, each of which has its time."""


class GivenUp(NamedTuple):
    """A task that took too long and whose thread was given up."""

    owner: str
    seconds: float


class ThreadPool:
    """A fixed number of threads; `close` at the end."""

    def __init__(
        self, threads: int, name: str, *, max_delay: float, initializer: Callable[[], None] = lambda: None
    ) -> None:
        """`max_delay`: seconds for which an outcome may wait for the others of its group; beyond that it
        waits only for the task that is running then. `initializer`: called by each thread at its start."""
        self._max_delay = max_delay
        self._name = name
        self._initializer = initializer
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._running: dict[threading.Thread, _Group] = {}
        self._given_up: list[threading.Thread] = []
        self._threads = [self._start(None) for _ in range(threads)]

    @property
    def lost(self) -> int:
        """Number of threads that were given up and still compute"""
        self._given_up = [thread for thread in self._given_up if thread.is_alive()]
        return len(self._given_up)

    def put(self, tasks: Sequence[Task], group_done: GroupDone) -> None:
        """Have one thread run these tasks, one after another, and deliver their outcomes on this event loop.

        The outcomes come together, after `group_done`, when all tasks are done; some of them earlier if the
        group takes long.
        """
        self._groups.put(_Group(asyncio.get_running_loop(), tasks, group_done))

    def give_up_overdue(self, limit: float, error: Callable[[float], BaseException]) -> list[GivenUp]:
        """Give up each thread whose task has taken more than `limit` seconds per image; on the event loop.

        Its task ends with `error(seconds)`, and a new thread runs the rest of its group. A task is given up
        if two calls find it overdue, so that a process that was stopped for a while may go on first.
        """
        found = []
        for thread, group in self._running.copy().items():
            given_up = group.give_up(limit, error)
            if given_up is not None:
                found.append(given_up)
                self._running.pop(thread, None)
                thread.name += _GIVEN_UP
                self._given_up.append(thread)
                self._threads[self._threads.index(thread)] = self._start(group.rest())
        return found

    def close(self, limit: float = 3600.0) -> None:
        """End the threads after the groups that they have got, and wait for it, `limit` seconds at most."""
        for _ in self._threads:
            self._groups.put(None)
        due = monotonic() + limit
        for thread in self._threads:
            thread.join(max(0.0, due - monotonic()))

    def _start(self, first: _Group | None) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(first,), name=self._name, daemon=True)
        thread.start()
        return thread

    def _work(self, first: _Group | None) -> None:
        self._initializer()
        thread = threading.current_thread()
        group = self._groups.get() if first is None else first
        del first
        while group is not None:
            self._running[thread] = group
            if not group.perform(self._max_delay):
                return
            del self._running[thread]
            # No reference to a finished group may outlive it while the thread waits for more.
            del group
            group = self._groups.get()


@dataclass(slots=True, eq=False)
class _Group:
    """Tasks of one thread; the lock keeps the thread and the event loop from ending a task both."""

    loop: asyncio.AbstractEventLoop
    tasks: Sequence[Task]
    done: GroupDone
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _position: int = -1
    """Place of the task that is running"""
    _since: float | None = None
    """Time at which it began; None between two tasks"""
    _suspected: int = -1
    """Place of a task that was found overdue"""
    _outcomes: list[Callable[[], None]] = field(default_factory=list)
    """Not delivered yet"""
    _oldest: float = 0.0
    _given_up: bool = False

    def perform(self, max_delay: float) -> bool:
        """Run the tasks; False if this thread was given up meanwhile."""
        began = perf_counter()
        for position, task in enumerate(self.tasks):
            if self._outcomes and perf_counter() - self._oldest > max_delay:
                self._deliver()
            self._position, self._since = position, perf_counter()
            outcome = _outcome(task.work)
            with self._lock:
                if self._given_up:
                    return False
                self._since = None
                if not self._outcomes:
                    self._oldest = perf_counter()
                self._outcomes.append(partial(task.done, *outcome))
        self._outcomes.insert(0, partial(self.done, perf_counter() - began))
        self._deliver()
        return True

    def give_up(self, limit: float, error: Callable[[float], BaseException]) -> GivenUp | None:
        """End the running task with `error` and deliver all outcomes, if two calls find it overdue."""
        with self._lock:
            since, position = self._since, self._position
            if since is None:
                return None
            task, seconds = self.tasks[position], perf_counter() - since
            if task.owner is None or seconds <= limit * task.images:
                return None
            if self._suspected != position:
                self._suspected = position
                return None
            self._given_up = True
            self._outcomes.append(partial(task.done, None, error(seconds)))
        self._deliver()
        return GivenUp(task.owner, seconds)

    def rest(self) -> _Group:
        """The tasks behind the running one; there may be none."""
        return _Group(self.loop, self.tasks[self._position + 1 :], self.done)

    def _deliver(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        try:
            self.loop.call_soon_threadsafe(_call_each, outcomes)
        except RuntimeError:
            # The loop is closed, so no result is awaited any more.
            return


def any_given_up() -> bool:
    """Whether a thread of this process that was given up still computes."""
    return any(thread.name.endswith(_GIVEN_UP) for thread in threading.enumerate())


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:
        # Raised again where the result is awaited.
        return None, error


def _call_each(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
