"""Memory of every process of a server over time, and a test for growth."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Self

import numpy as np
from scipy import stats

from harness import processes
from harness.servers import RunningServer, is_worker

_BLOCKS = 12
NOTICED = 1.0
"""Megabytes over the whole time below which an increase does not count as growth."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Linear trend of a process's memory."""

    megabytes_an_hour: float
    low: float
    high: float
    """Ends of the 95 % interval"""
    first: float
    last: float
    """Resident megabytes in the first and the last twelfth"""
    hours: float

    @property
    def grows(self) -> bool:
        """Whether it grows beyond noise, and by more than a megabyte over the measured time."""
        return self.low > 0.0 and self.megabytes_an_hour * self.hours > NOTICED


def growth(seconds: np.ndarray, megabytes: np.ndarray) -> Growth:
    """Slope with a Student interval over the medians of twelve equal spans of time.

    seconds, megabytes: float64 [n], n >= 24. Neighbouring samples are correlated; medians of long spans
    hardly are, which keeps the interval valid.
    """
    if len(seconds) < 2 * _BLOCKS:
        raise ValueError(f"{len(seconds)} samples; at least {2 * _BLOCKS} are needed")
    hours = np.array([part.mean() for part in np.array_split(seconds / 3600.0, _BLOCKS)])
    level = np.array([np.median(part) for part in np.array_split(megabytes, _BLOCKS)])
    span = float(seconds[-1] - seconds[0]) / 3600.0
    if np.ptp(level) == 0.0:
        return Growth(0.0, 0.0, 0.0, float(level[0]), float(level[-1]), span)
    line = stats.linregress(hours, level)
    half = float(stats.t.ppf(0.975, _BLOCKS - 2)) * float(line.stderr)
    slope = float(line.slope)
    return Growth(slope, slope - half, slope + half, float(level[0]), float(level[-1]), span)


class MemoryWatch:
    """A context manager: inside, the memory of every process of the server is sampled."""

    def __init__(self, server: RunningServer, interval: float = 0.5) -> None:
        self._server = server
        self._interval = interval
        self._samples: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        self._began = perf_counter()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def series(self) -> dict[str, np.ndarray]:
        """`worker 1234` -> float64 [n, 2] of seconds and megabytes."""
        return {f"{role} {pid}": np.array(samples) for (role, pid), samples in self._samples.items()}

    def _run(self) -> None:
        while not self._done.wait(self._interval):
            for pid in self._server.tree():
                if role := role_of(pid, self._server):
                    self._samples[role, pid].append(
                        (perf_counter() - self._began, processes.resident_mb(pid))
                    )


def role_of(pid: int, server: RunningServer) -> str | None:
    """Role of a process of demur; None for Python's helper processes."""
    if "valkey-server" in processes.command(pid):
        return "store"
    if is_worker(pid):
        return "worker"
    return "parent" if pid == server.process.pid else None
