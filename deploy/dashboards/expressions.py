"""Expressions of PromQL about demur's metrics, limited to what the head of a dashboard has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitoring.metrics import names

RATE: Final = "$__rate_interval"
"""The range that fits the resolution of a panel; Grafana fills it in"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The variables of a dashboard; each limits the series that have a label of its name.

    All services that share a store show the same figures of windows, monitors and experiments: `shared` takes
    each of them once, where `total` would count them once per service.
    """

    variables: tuple[str, ...]

    def series(self, metric: names.Metric, *matchers: str, ending: str = "") -> str:
        """The series of a metric. `matchers`: further ones, such as `outcome="drawn"`; `ending`: `_bucket`,
        `_sum` or `_count` of a histogram."""
        labels = [one for one in self.variables if one in ("job", "instance", *metric.labels)]
        limits = [*(f'{label}=~"${label}"' for label in labels), *matchers]
        return f"{metric.name}{ending}{{{', '.join(limits)}}}"

    def total(self, metric: names.Gauge, *matchers: str, by: Sequence[str] = ()) -> str:
        """The sum over the services."""
        return f"sum{_by(by)} ({self.series(metric, *matchers)})"

    def shared(self, metric: names.Gauge, *matchers: str, by: Sequence[str] = ()) -> str:
        """The value that every service shows."""
        return f"max{_by(by)} ({self.series(metric, *matchers)})"

    def rate(self, metric: names.Counter, *matchers: str, by: Sequence[str] = ()) -> str:
        """Per second: of all services together, or as every service shows what the store has counted."""
        combined = "max" if metric.in_store else "sum"
        return f"{combined}{_by(by)} (rate({self.series(metric, *matchers)}[{RATE}]))"

    def hourly(self, metric: names.Counter, *matchers: str, by: Sequence[str] = ()) -> str:
        """Number within the last hour, of all services together."""
        return f"sum{_by(by)} (increase({self.series(metric, *matchers)}[1h]))"

    def observed(self, metric: names.Histogram, *matchers: str, by: Sequence[str] = ()) -> str:
        """Observations per second."""
        return f"sum{_by(by)} (rate({self.series(metric, *matchers, ending='_count')}[{RATE}]))"

    def spent(self, metric: names.Histogram, *matchers: str, by: Sequence[str] = ()) -> str:
        """Sum of what was observed, per second."""
        return f"sum{_by(by)} (rate({self.series(metric, *matchers, ending='_sum')}[{RATE}]))"

    def mean(self, metric: names.Histogram, *matchers: str, by: Sequence[str] = ()) -> str:
        """Mean of what was observed."""
        return f"{self.spent(metric, *matchers, by=by)} / {self.observed(metric, *matchers, by=by)}"

    def quantile(self, q: float, metric: names.Histogram, *matchers: str, by: Sequence[str] = ()) -> str:
        """Quantile of what was observed, by the buckets."""
        buckets = self.series(metric, *matchers, ending="_bucket")
        return f"histogram_quantile({q:g}, sum{_by((*by, 'le'))} (rate({buckets}[{RATE}])))"


def _by(labels: Sequence[str]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
