"""Instruments for the metrics of `monitoring.metrics.names`, on a registry of their own.

Inside `monitoring.metrics.worker_files.shared_metrics` the values of all workers are kept in one folder, and
a scrape of any worker shows their sum (or, for values that all workers share, the latest).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, Literal, get_args

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitoring.drift.conclusion import Conclusion
from monitoring.metrics import names
from monitoring.metrics.worker_files import WorkerFiles
from monitoring.promise.reading import Reading
from monitoring.windows.figures import Figure
from monitoring.windows.snapshot import RollingSnapshot

_GAUGE_MODES: dict[names.AcrossWorkers, Literal["livesum", "livemostrecent"]] = {
    "sum": "livesum",
    "latest": "livemostrecent",
}

_AUDITS: Final = names.Gauge(names.AUDITS.name, names.AUDITS.unit, names.AUDITS.help, names.AUDITS.labels)
_STORE_COUNTERS: Final = frozenset(
    name for name, spec in names.by_name().items() if isinstance(spec, names.Counter) and spec.in_store
)

WorkerLoss = Literal["died", "compute_overrun"]

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


class _Typed(Collector):
    """The metrics of another collector, with those that the store counts as counters. In the files of the
    workers they are gauges, since counters would be added up."""

    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        for metric in self._inner.collect():
            if metric.name in _STORE_COUNTERS:
                metric.name, metric.type = metric.name.removesuffix("_total"), "counter"
            yield metric


class AdminInstruments:
    """Instruments of the admin port, in the parent process; inside `shared_metrics` every worker exports
    them."""

    def __init__(self) -> None:
        spec = names.ADMIN_REFUSALS
        self.registry = CollectorRegistry()
        self.refusals = prometheus_client.Counter(spec.name, spec.help, spec.labels, registry=self.registry)


class SupervisorInstruments:
    """Instruments of the parent of several workers; inside `shared_metrics` every worker exports them."""

    def __init__(self) -> None:
        spec = names.WORKERS_LOST
        self.registry = CollectorRegistry()
        self.workers_lost = prometheus_client.Counter(
            spec.name, spec.help, spec.labels, registry=self.registry
        )
        # From 0 on, so that the first loss is an increase.
        for why in get_args(WorkerLoss):
            self.workers_lost.labels(why)


class Instruments:
    """Every instrument of the service; one set per process."""

    def __init__(self) -> None:
        # The creation time of each series is of no use here and would double the number of series.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.http_duration = self._histogram(names.HTTP_DURATION)
        self.inference_duration = self._histogram(names.INFERENCE_DURATION)
        self.decisions = self._counter(names.DECISIONS)
        self.abstentions = self._counter(names.ABSTENTIONS)
        self.bundle_promise = self._gauge(names.BUNDLE_PROMISE)
        self._engine_info = self._gauge(names.ENGINE_INFO)
        self._engines: set[tuple[str, ...]] = set()
        self.shadows = self._counter(names.SHADOWS)
        self.drift_samples = self._counter(names.DRIFT_SAMPLES)
        self._drift_alarm = self._gauge(names.DRIFT_ALARM)
        self._drift_psi = self._gauge(names.DRIFT_PSI)
        self._drift_p_value = self._gauge(names.DRIFT_P_VALUE)
        self._drift_images = self._gauge(names.DRIFT_IMAGES)
        self._expected_accuracy = self._gauge(names.EXPECTED_ACCURACY)
        self._expected_risk = self._gauge(names.EXPECTED_RISK)
        self._bundle_share = self._gauge(names.BUNDLE_SHARE)
        self._sharing: set[str] = set()
        self.refusals = self._counter(names.REFUSALS)
        self.feedback_refusals = self._counter(names.FEEDBACK_REFUSALS)
        self.overruns = self._counter(names.OVERRUNS)
        self.queue_depth = self._gauge(names.QUEUE_DEPTH)
        self.stage_queue_depth = self._gauge(names.STAGE_QUEUE_DEPTH)
        self.batch_size = self._histogram(names.BATCH_SIZE)
        self.in_flight = self._gauge(names.IN_FLIGHT)
        self.events_delivered = self._counter(names.EVENTS_DELIVERED)
        self.events_dropped = self._counter(names.EVENTS_DROPPED)
        self.events_unlogged = self._counter(names.EVENTS_UNLOGGED)
        self.event_log_up = self._gauge(names.EVENT_LOG_UP)
        self.events_waiting = self._gauge(names.EVENTS_WAITING)
        self.data_available = self._gauge(names.DATA_AVAILABLE)
        self.redis_up = self._gauge(names.REDIS_UP)
        self._rolling_mcc = self._gauge(names.ROLLING_MCC)
        self._rolling_mcc_undefined = self._gauge(names.ROLLING_MCC_UNDEFINED)
        self._rolling_acc = self._gauge(names.ROLLING_ACC)
        self._rolling_acc_low = self._gauge(names.ROLLING_ACC_LOW)
        self._rolling_acc_high = self._gauge(names.ROLLING_ACC_HIGH)
        self._rolling_reward = self._gauge(names.ROLLING_REWARD)
        self._rolling_n = self._gauge(names.ROLLING_N)
        self._window_labelled = self._gauge(names.WINDOW_LABELLED)
        self._window_figures = {
            "accuracy": self._gauge(names.WINDOW_ACCURACY),
            "mcc": self._gauge(names.WINDOW_MCC),
            "precision": self._gauge(names.WINDOW_PRECISION),
            "recall": self._gauge(names.WINDOW_RECALL),
            "specificity": self._gauge(names.WINDOW_SPECIFICITY),
        }
        self._window_coverage = self._gauge(names.WINDOW_COVERAGE)
        self._window_stage_b = self._gauge(names.WINDOW_STAGE_B)
        self._label_coverage = self._gauge(names.LABEL_COVERAGE)
        self._label_lag = self._gauge(names.LABEL_LAG)
        self._alerts = self._gauge(names.ALERTS)
        self._alerts_shown: set[tuple[str, str, str]] = set()
        self._alert_evaluated = self._gauge(names.ALERT_EVALUATED)
        self.alert_notifications = self._counter(names.ALERT_NOTIFICATIONS)
        self.alert_outbox = self._gauge(names.ALERT_OUTBOX)
        self.alert_heartbeats = self._counter(names.ALERT_HEARTBEATS)
        self._promise_e_value = self._gauge(names.PROMISE_E_VALUE)
        self._promise_alarm = self._gauge(names.PROMISE_ALARM)
        self._promise_risk_low = self._gauge(names.PROMISE_RISK_LOW)
        self._promise_risk_high = self._gauge(names.PROMISE_RISK_HIGH)
        self._promise_audits = self._gauge(names.PROMISE_AUDITS)
        self._audits = self._gauge(_AUDITS)
        self._audits_shown: dict[tuple[str, str], int] = {}

    def show_shares(self, shares: Mapping[str, float]) -> None:
        """Set the gauge of each bundle's share of the units; a bundle that is gone has 0 from then on."""
        self._sharing.update(shares)
        for bundle in tuple(self._sharing):
            self._bundle_share.labels(bundle).set(shares.get(bundle, 0.0))

    def show_engines(self, engines: set[tuple[str, ...]]) -> None:
        """Set the gauge of the engines, (bundle, engine, precision, provider, runtime) of each bundle; an
        engine that is gone has 0 from then on."""
        for gone in self._engines - engines:
            self._engine_info.labels(*gone).set(0)
        for here in engines:
            self._engine_info.labels(*here).set(1)
        self._engines = engines

    def show_rolling(self, snapshot: RollingSnapshot, *, with_reward: bool = False) -> None:
        """Set the gauges of the rolling windows; figures that an empty window does not have stay unset.
        `with_reward`: the bundle is of the task that has a reward."""
        bundle = snapshot.bundle
        for name, series in (("all", snapshot.all), ("answered", snapshot.answered)):
            accuracy, mcc = series.acc.accuracy, series.mcc.mcc
            self._rolling_mcc.labels(bundle, name).set(mcc.value or 0.0)
            self._rolling_mcc_undefined.labels(bundle, name).set(mcc.reason is not None)
            self._rolling_n.labels(bundle, name).set(series.mcc.n)
            if with_reward:
                self._rolling_reward.labels(bundle, name).set(series.reward)
            if accuracy.value is not None:
                self._rolling_acc.labels(bundle, name).set(accuracy.value)
                self._rolling_acc_low.labels(bundle, name).set(accuracy.low)
                self._rolling_acc_high.labels(bundle, name).set(accuracy.high)
            for size in snapshot.sizes:
                window = series.windows[size]
                self._window_labelled.labels(bundle, name, size).set(window.n)
                for figure, value in window.figures.by_name().items():
                    _show(self._window_figures[figure], (bundle, name, size), value)
        for size in snapshot.sizes:
            _show(self._window_coverage, (bundle, size), snapshot.decided[size].coverage)
            _show(self._window_stage_b, (bundle, size), snapshot.decided[size].stage_b)
        if snapshot.label_coverage is not None:
            self._label_coverage.labels(bundle).set(snapshot.label_coverage)
        lag = snapshot.label_lag(0.5)
        if lag is not None:
            self._label_lag.labels(bundle).set(lag)

    def show_audits(self, bundle: str, counts: Mapping[str, int]) -> None:
        """Set the counters of a bundle's audits, by outcome. None of them falls, although a store that has
        lost its memory begins anew and is filled again."""
        for outcome, number in counts.items():
            shown = max(number, self._audits_shown.get((bundle, outcome), 0))
            self._audits_shown[bundle, outcome] = shown
            self._audits.labels(bundle, outcome).set(shown)

    def end_drift(self, bundle: str) -> None:
        """No alarm of drift for a bundle that answers no more."""
        self._drift_alarm.labels(bundle).set(0)

    def show_drift(self, bundle: str, found: Conclusion) -> None:
        """Set the gauges of drift; figures that the window does not have stay as they are."""
        self._drift_alarm.labels(bundle).set(found.alarm)
        self._drift_images.labels(bundle).set(found.images)
        for shift in found.shifts:
            self._drift_psi.labels(bundle, shift.name).set(shift.psi)
            self._drift_p_value.labels(bundle, shift.name).set(shift.p_value)
        if found.joint_p_value is not None:
            self._drift_p_value.labels(bundle, "joint").set(found.joint_p_value)
        if found.expected.accuracy is not None:
            self._expected_accuracy.labels(bundle).set(found.expected.accuracy.value)
        if found.expected.risk is not None:
            self._expected_risk.labels(bundle).set(found.expected.risk.value)

    def show_promise(self, reading: Reading, alarmed: Collection[tuple[str, str]]) -> None:
        """Set the gauges of a bundle's monitor. `alarmed`: (signal, part) of the alarms that stand."""
        bundle = reading.bundle
        for one in reading.signals:
            labels = (bundle, one.part, one.signal)
            self._promise_e_value.labels(*labels).set(one.e_value)
            self._promise_alarm.labels(*labels).set((one.signal, one.part) in alarmed)
        low, high = reading.risk
        self._promise_risk_low.labels(bundle).set(low)
        self._promise_risk_high.labels(bundle).set(high)
        self._promise_audits.labels(bundle).set(reading.audits)

    def show_alerts(self, counts: Mapping[tuple[str, str, str], int], evaluated_at: float | None) -> None:
        """Set the gauges of the alerts: number by (rule, severity, state), and when they were evaluated."""
        for gone in self._alerts_shown - counts.keys():
            self._alerts.labels(*gone).set(0)
        self._alerts_shown |= counts.keys()
        for labels, count in counts.items():
            self._alerts.labels(*labels).set(count)
        if evaluated_at is not None:
            self._alert_evaluated.set(evaluated_at)

    def collect(self) -> Iterable[Metric]:
        """The metrics of all workers of this service."""
        return (WorkerFiles.of_this_service() or self.registry).collect()

    def render(self) -> bytes:
        """The scrape in Prometheus' text format. It takes milliseconds, too long for the event loop."""
        return generate_latest(_Typed(WorkerFiles.of_this_service() or self.registry))

    def _counter(self, spec: names.Counter) -> prometheus_client.Counter:
        return prometheus_client.Counter(spec.name, spec.help, spec.labels, registry=self.registry)

    def _gauge(self, spec: names.Gauge) -> prometheus_client.Gauge:
        return prometheus_client.Gauge(
            spec.name,
            spec.help,
            spec.labels,
            registry=self.registry,
            multiprocess_mode=_GAUGE_MODES[spec.across_workers],
        )

    def _histogram(self, spec: names.Histogram) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(
            spec.name, spec.help, spec.labels, registry=self.registry, buckets=spec.buckets
        )


def _show(gauge: prometheus_client.Gauge, labels: tuple[object, ...], figure: Figure) -> None:
    """Set a figure and the ends of its interval; NaN while it has none, since an old value would mislead."""
    defined = figure.value is not None
    bounds = {"value": figure.value, "low": figure.low, "high": figure.high}
    for bound, value in bounds.items():
        gauge.labels(*labels, bound).set(value if defined and value is not None else math.nan)
