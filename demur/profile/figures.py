"""What a profile holds: figures from repeated runs, each with the range that the runs span."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Repeated:
    """The median of several runs, and the smallest and largest of them.

    The range of n runs covers the true median with probability 1 - 2^(1-n): 97 % for six of them.
    """

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values), len(values))

    @property
    def spread(self) -> float:
        """(high - low) / median; 0 where all runs agree."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one step."""

    step: str
    samples: int
    p50: Repeated
    p95: Repeated
    p99: Repeated

    @classmethod
    def of(cls, step: str, runs: Sequence[Sequence[float]]) -> Self:
        """`runs`: the milliseconds of each run. Quantiles of all samples; ranges of the runs' own."""
        pooled = np.concatenate([np.asarray(run, dtype=np.float64) for run in runs])
        quantiles = []
        for percentile in PERCENTILES:
            own = [float(np.percentile(run, percentile)) for run in runs if len(run)]
            quantiles.append(Repeated(float(np.percentile(pooled, percentile)), min(own), max(own), len(own)))
        return cls(step, len(pooled), *quantiles)


@dataclass(frozen=True, slots=True)
class Throughput:
    """The service at full load beside plain loops over the same images, one process a core."""

    processes: int
    clients: int
    raw_images_per_second: Repeated
    served_images_per_second: Repeated
    share_of_raw: Repeated
    """served / raw, run by run. The load generator takes its part of the same cores."""
    raw_cpu_ms: Repeated
    """CPU milliseconds an image in a plain loop"""
    served_cpu_ms: Repeated | None
    """CPU milliseconds a request in the service's processes; None where /proc does not tell"""
    refused: int
    """Requests that were not answered with 200"""

    @property
    def overhead_cpu_ms(self) -> float | None:
        """What HTTP, queue, metrics, log and events cost a request, in CPU milliseconds."""
        return None if self.served_cpu_ms is None else self.served_cpu_ms.median - self.raw_cpu_ms.median


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident megabytes."""

    raw_process: float
    service_processes: tuple[float, ...]
    """Empty where /proc does not tell"""


@dataclass(frozen=True, slots=True)
class Cascade:
    """What stage A spares stage B."""

    images: int
    answered_by_a: float
    """Share of the images"""
    macs_saved: float | None
    """Share of the multiply-accumulates, against stage B alone; None where the bundle states none"""
    mean_ms: float
    """Of an image, decode included"""
    mean_ms_without: float
    """The same had stage B alone seen every image"""

    @property
    def time_saved(self) -> float:
        return 1.0 - self.mean_ms / self.mean_ms_without if self.mean_ms_without else math.nan


@dataclass(frozen=True, slots=True)
class Profile:
    """A bundle on this machine."""

    bundle: str
    engine: str
    choice: str
    """What was obtained from the engine, why it and no other, and the batch sizes"""
    images: str
    """Which images: the bundle's golden cases or a source"""
    cores: int
    load_before: float | None
    """Processes that wanted a core before the profile began, one-minute average"""
    latencies: tuple[Latency, ...]
    throughput: Throughput
    memory: Memory
    cascade: Cascade | None
    """None for one stage"""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the figures may not be trusted, in plain words."""
        found = []
        if self.load_before is not None and self.load_before > 0.5:
            found.append(f"other programs kept {self.load_before:.1f} cores busy when the profile began")
        if self.throughput.raw_images_per_second.spread > 0.1:
            spread = 100 * self.throughput.raw_images_per_second.spread
            found.append(f"plain loops differ by {spread:.0f} % from run to run: the machine is not quiet")
        if self.throughput.refused:
            found.append(f"{self.throughput.refused} requests were refused")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "overhead_cpu_ms": self.throughput.overhead_cpu_ms,
            "time_saved": None if self.cascade is None else self.cascade.time_saved,
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[tuple[str, float, float | None, float | None, str]]:
        """(figure, value, low, high, unit), one a line of the CSV."""
        found = [
            _row(f"{latency.step}_p{percentile}", value, "ms")
            for latency in self.latencies
            for percentile, value in zip(PERCENTILES, (latency.p50, latency.p95, latency.p99), strict=True)
        ]
        through = self.throughput
        repeated: Mapping[str, tuple[Repeated | None, str]] = {
            "raw_throughput": (through.raw_images_per_second, "images/s"),
            "served_throughput": (through.served_images_per_second, "images/s"),
            "share_of_raw": (through.share_of_raw, ""),
            "raw_cpu": (through.raw_cpu_ms, "ms"),
            "served_cpu": (through.served_cpu_ms, "ms"),
        }
        found += [_row(name, value, unit) for name, (value, unit) in repeated.items() if value is not None]
        found.append(("memory_raw_process", self.memory.raw_process, None, None, "MB"))
        found += [
            (f"memory_service_process_{index}", value, None, None, "MB")
            for index, value in enumerate(self.memory.service_processes)
        ]
        if self.cascade is not None:
            found.append(("answered_by_a", self.cascade.answered_by_a, None, None, ""))
            found.append(("time_saved", self.cascade.time_saved, None, None, ""))
        return found


def _row(name: str, value: Repeated, unit: str) -> tuple[str, float, float | None, float | None, str]:
    return name, value.median, value.low, value.high, unit
