"""Processes pinned to cores, which run on order: load generators and plain loops."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Self

from demur.profile.load import Load, run_load
from harness.arrivals import run_arrivals
from harness.plain import PlainCascade
from harness.processes import cpu_seconds

_SPAWN = get_context("spawn")
_PATIENCE = 120.0


class _PinnedProcess:
    """A process and the parent's end of the pipe to it; a subclass names its work."""

    def __init__(self, cores: Sequence[int], work: Any, *arguments: Any) -> None:
        self._ours, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=work, args=(theirs, tuple(cores), *arguments), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.join(_PATIENCE)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def order(self, *order: Any) -> None:
        """Start the work; `result` waits for its end."""
        self._ours.send(order)

    def result(self) -> Any:
        found = self._ours.recv()
        if isinstance(found, BaseException):
            raise found
        return found


class LoadGenerator(_PinnedProcess):
    """Sends requests from its own cores."""

    def __init__(self, cores: Sequence[int]) -> None:
        super().__init__(cores, _generate)

    def run(self, address: tuple[str, int], requests: Sequence[bytes], clients: int, seconds: float) -> Load:
        """Run `demur.profile.load.run_load` in the process."""
        self.order_run(address, requests, clients, seconds)
        return self.load()

    def order_run(
        self, address: tuple[str, int], requests: Sequence[bytes], clients: int, seconds: float
    ) -> None:
        """Start `run` without waiting; `load` waits for its end."""
        self.order(run_load, address, requests, {"clients": clients, "seconds": seconds})

    def load(self) -> Load:
        """Result of the run that was ordered last."""
        found: Load = self.result()
        return found

    def cpu_seconds(self) -> float:
        """CPU time of the generator itself."""
        return cpu_seconds([self.pid])

    def run_arrivals(
        self, address: tuple[str, int], requests: Sequence[bytes], rate: float, seconds: float
    ) -> Load:
        """Run `harness.arrivals.run_arrivals` in the process."""
        self.order(run_arrivals, address, requests, {"rate": rate, "seconds": seconds})
        return self.load()


def _generate(orders: Connection, cores: tuple[int, ...]) -> None:
    import uvloop

    os.sched_setaffinity(0, cores)
    # Half the CPU time of the default loop: the generator must not limit the measurement.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    while True:
        try:
            kind, address, requests, options = orders.recv()
        except EOFError:
            return
        try:
            orders.send(kind(address, requests, **options))
        except OSError as error:
            orders.send(error)


@dataclass(frozen=True, slots=True)
class RawRun:
    """Result of a plain loop."""

    images: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per image."""
        return 1e3 * self.cpu_seconds / self.images


class RawLoop(_PinnedProcess):
    """The plain loop of `harness.plain`: decode, session and comparison."""

    def __init__(self, cores: Sequence[int], bundle: Path, images: Sequence[bytes]) -> None:
        super().__init__(cores, _loop, bundle, images)
        self.result()

    def run(self, seconds: float) -> RawRun:
        self.order(seconds)
        return self.ended()

    def ended(self) -> RawRun:
        """Wait for the run that was ordered last. Returns its result."""
        found: RawRun = self.result()
        return found


def _loop(orders: Connection, cores: tuple[int, ...], bundle: Path, images: Sequence[bytes]) -> None:
    os.sched_setaffinity(0, cores)
    cascade = PlainCascade.of(bundle)
    for image in images:
        cascade.answer(image)
    orders.send(None)
    turn = 0
    while True:
        try:
            (seconds,) = orders.recv()
        except EOFError:
            return
        began, cpu, first = perf_counter(), process_time(), turn
        while perf_counter() < began + seconds:
            cascade.answer(images[turn % len(images)])
            turn += 1
        orders.send(RawRun(turn - first, perf_counter() - began, process_time() - cpu))
