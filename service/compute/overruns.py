"""Overruns: computations that take longer than `Settings.compute_timeout`, perhaps for ever.

A model may loop on an image that no golden case is like. Its thread cannot be stopped, so the worker gives it
up and goes on with a new one; but the core stays busy, so the supervisor then replaces the worker. Without a
supervisor (one worker, or another server around the application) the core is lost until a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Protocol

import structlog

from monitoring.metrics.instruments import Instruments
from service.compute.threads import GivenUp

logger = structlog.get_logger("demur.compute")


class Computing(Protocol):
    """Threads that compute images."""

    @property
    def lost(self) -> int:
        """Number of threads that were given up and still compute"""

    def give_up_overdue(self, limit: float) -> list[GivenUp]:
        """Give up the computations that take more than `limit` seconds per image."""


class SharedCount:
    """A number that one process sets and others read; passed to them as they are spawned."""

    def __init__(self) -> None:
        self._cell: Any = get_context("spawn").RawValue("i", 0)

    @property
    def value(self) -> int:
        return int(self._cell.value)

    @value.setter
    def value(self, count: int) -> None:
        self._cell.value = count


def _no_report(bundle: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Supervision:
    """A worker's view of its supervisor; by default there is none."""

    report: Callable[[str], None] = _no_report
    """Report an overrun of the bundle with this label, so that this worker is replaced."""
    replacing: SharedCount = field(default_factory=SharedCount)
    """Number of workers that are being replaced."""
    report_broken: Callable[[str], None] = _no_report
    """Report that the promise of the bundle with this label is broken, so that the one before it returns."""


class Overruns:
    """Watch over the threads of one worker."""

    def __init__(self, limit: float, instruments: Instruments, supervision: Supervision) -> None:
        """`limit`: seconds per image."""
        self._limit = limit
        self._counter = instruments.overruns
        self._supervision = supervision
        self.lost_threads = 0
        """Threads of this worker that were given up and still compute"""

    @property
    def replacing(self) -> int:
        """Number of workers that are being replaced."""
        return self._supervision.replacing.value

    def look(self, *computing: Computing) -> None:
        """Give up, count and report what has overrun; called on the event loop every second."""
        for threads in computing:
            for bundle, seconds in threads.give_up_overdue(self._limit):
                name, _, version = bundle.rpartition(":")
                self._counter.labels(bundle).inc()
                logger.error(
                    "compute_overrun",
                    bundle=name,
                    version=version,
                    seconds=round(seconds, 1),
                    limit=self._limit,
                    note="the model has not decided an image in time; its thread is given up",
                )
                self._supervision.report(bundle)
        self.lost_threads = sum(threads.lost for threads in computing)
