"""Request window: errors and latency of the predictions of the last minutes, over all workers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric

from monitoring.metrics import names

WINDOW: Final = 300.0
"""Seconds"""
_EVERY: Final = 4.0
"""Seconds between two counts; one reads the files of all workers"""
_ROUTES: Final = ("/predict", "/v2/models")

_Counts = Mapping[tuple[str, float], float]
"""(status, upper bound of a bucket) -> requests so far"""


@dataclass(frozen=True, slots=True)
class RecentRequests:
    """The requests for a prediction in the window."""

    n: int
    failed: int
    """With a status of 500 or more"""
    slowest_percent: float | None
    """Seconds within which 99 % of those that did not fail were answered; None without any"""


class RequestWindow:
    """Differences of the counters of a service, which only grow."""

    def __init__(
        self, collect: Callable[[], Iterable[Metric]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`collect`: the metrics of all workers."""
        self._collect, self._clock = collect, clock
        self._counts: deque[tuple[float, _Counts]] = deque()

    def recent(self) -> RecentRequests:
        """The requests of the last five minutes, or since the first call."""
        now = self._clock()
        if not self._counts or now - self._counts[-1][0] >= _EVERY:
            self._counts.append((now, self._count()))
        while len(self._counts) > 1 and now - self._counts[1][0] >= WINDOW:
            self._counts.popleft()
        before, after = self._counts[0][1], self._counts[-1][1]
        # Counts of a worker that is being forgotten may be missing for a moment.
        made = {key: max(0.0, count - before.get(key, 0.0)) for key, count in after.items()}
        return _recent(made)

    def _count(self) -> _Counts:
        counts: dict[tuple[str, float], float] = {}
        for metric in self._collect():
            if metric.name != names.HTTP_DURATION.name:
                continue
            for sample in metric.samples:
                if sample.name.endswith("_bucket") and sample.labels["route"].startswith(_ROUTES):
                    key = (sample.labels["status"], float(sample.labels["le"]))
                    counts[key] = counts.get(key, 0.0) + sample.value
        return counts


def _recent(made: _Counts) -> RecentRequests:
    total = {status: count for (status, bound), count in made.items() if bound == float("inf")}
    failed = sum(count for status, count in total.items() if status >= "500")
    buckets: dict[float, float] = {}
    for (status, bound), count in made.items():
        if status < "500":
            buckets[bound] = buckets.get(bound, 0.0) + count
    n = round(sum(total.values()))
    return RecentRequests(n, round(failed), _quantile(sorted(buckets.items()), 0.99))


def _quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    """Seconds below which this share lies, by a straight line in its bucket."""
    if not buckets or not buckets[-1][1]:
        return None
    wanted = share * buckets[-1][1]
    low = below = 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (wanted - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low
