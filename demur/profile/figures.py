"""Figures of a profile, each measured in several runs and given with the range of the runs."""

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
    """Median of several runs, with the smallest and the largest.

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
        """(high - low) / median; 0 if the median is 0"""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of one step, in milliseconds."""

    step: str
    samples: int
    p50: Repeated
    p95: Repeated
    p99: Repeated

    @classmethod
    def of(cls, step: str, runs: Sequence[Sequence[float]]) -> Self:
        """Quantiles over the samples of all `runs`; the ranges are of the quantiles of each run."""
        pooled = np.concatenate([np.asarray(run, dtype=np.float64) for run in runs])
        quantiles = []
        for percentile in PERCENTILES:
            own = [float(np.percentile(run, percentile)) for run in runs if len(run)]
            quantiles.append(Repeated(float(np.percentile(pooled, percentile)), min(own), max(own), len(own)))
        return cls(step, len(pooled), *quantiles)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Throughput of the service at full load, and of plain loops over the same images."""

    processes: int
    clients: int
    raw_images_per_second: Repeated
    served_images_per_second: Repeated
    share_of_raw: Repeated
    """served / raw, run by run. The load generator runs on the same cores as the service."""
    raw_cpu_ms: Repeated
    """CPU milliseconds per image in a plain loop"""
    served_cpu_ms: Repeated | None
    """CPU milliseconds per request in the workers of the service; None without /proc"""
    refused: int
    """Number of requests with a status other than 200"""

    @property
    def overhead_cpu_ms(self) -> float | None:
        """CPU milliseconds that HTTP, queue, metrics, log and events add per request."""
        return None if self.served_cpu_ms is None else self.served_cpu_ms.median - self.raw_cpu_ms.median


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory, in megabytes."""

    raw_process: float
    service_processes: tuple[float, ...]
    """One value per worker; empty without /proc"""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Savings of the cascade against stage B alone."""

    images: int
    """Number of images measured; 0 if the shares come from the bundle's own report"""
    answered_by_a: float
    """Share of the images that stage A answers"""
    macs_saved: float | None
    """Saved share of the multiply-accumulates; None if the bundle states none"""
    mean_ms: float
    """Mean milliseconds per image, decoding included"""
    mean_ms_without: float
    """The same with stage B alone"""

    @property
    def time_saved(self) -> float:
        return 1.0 - self.mean_ms / self.mean_ms_without if self.mean_ms_without else math.nan


@dataclass(frozen=True, slots=True)
class Profile:
    """Speed of a bundle on this machine."""

    bundle: str
    engine: str
    choice: str
    """Engine, execution providers, reason of the choice, and batch sizes"""
    images: str
    """Description of the images: the bundle's golden cases or a source"""
    cores: int
    load_before: float | None
    """Load average of one minute before the profile began"""
    latencies: tuple[Latency, ...]
    throughput: Throughput
    memory: Memory
    cascade: Cascade | None
    """None for a bundle of one stage"""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to distrust the figures, one sentence each."""
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
        """Rows of the CSV file: (figure, value, low, high, unit)."""
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
