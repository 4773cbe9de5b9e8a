"""Signals of this service: what its monitors know now, as readings for the rules of the alerts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from calibration.metrics import wilson_interval
from monitoring.alerts.alert import Alert
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.signals import Labels, Reading, labels_of
from monitoring.drift.conclusion import Conclusion
from monitoring.experiments.folder import ExperimentFolder
from monitoring.metrics.request_window import RequestWindow
from monitoring.promise.latch import BundleLatch
from monitoring.promise.watch import MonitorView, PromiseWatch
from monitoring.windows.figures import Figure
from monitoring.windows.snapshot import RollingSnapshot
from service.alerting.experiment_signals import experiment_readings
from service.alerting.promotion_signals import promotion_readings
from service.compute.drift_samples import DriftSamples
from service.errors import StoreUnavailable
from service.following.followed_file import Followed
from service.lineup.deployment import Deployment
from service.lineup.lineup import Deployments
from service.lineup.promise_watch import answering
from service.window_client import WindowClient

_OF_PROMISE = ("broken", "worse", "coverage")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the readings of a worker come from."""

    service: str
    """Name of this service among those with one store"""
    deployments: Deployments
    promise: PromiseWatch
    drift: DriftSamples
    windows: WindowClient
    requests: RequestWindow
    experiments: ExperimentFolder
    followed: Callable[[], Followed | None]
    """What the service has served last of its fleet; None: it follows none"""


class ServiceSignals:
    """The readings of one worker; called by the thread of its engine."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources

    def __call__(self, state: EngineState) -> list[Reading]:
        """Every reading of now. `state`: of the alerts; some may be of bundles that serve no more."""
        now, open_alerts = time.time(), _by_bundle(state)
        serving = answering(self._from.deployments)
        readings = [*self._of_service(now), *self._of_windows(serving, now)]
        for deployment in serving:
            parts = {alert.label("part") for alert in open_alerts.get(deployment.label, ())}
            readings += self._of_promise(self._from.promise.view(deployment.terms), parts, now)
            readings += self._of_drift(deployment, now)
        alerts = [alert for alert in state.alerts.values() if alert.active]
        readings += experiment_readings(self._from.experiments, alerts, now)
        readings += promotion_readings(self._from.followed(), alerts, now)
        for gone in open_alerts.keys() - {one.label for one in serving}:
            readings += self._of_gone(gone, open_alerts[gone], now)
        return readings

    def _of_service(self, now: float) -> Iterator[Reading]:
        windows, labels = self._from.windows, labels_of({"service": self._from.service})
        if windows.state != "off":
            away = windows.state == "down"
            what = (
                "does not answer; predictions go on, and their events are sent later" if away else "answers"
            )
            yield _plain("store_away", labels, float(away), now, f"the store of the windows {what}")
            waiting = windows.waiting
            text = f"{waiting:,} events wait for the store"
            yield _plain("events_waiting", labels, float(waiting), now, text)
        if windows.log_state != "off":
            failing = windows.log_state == "failing"
            text = (
                "events cannot be written to the log on disk" if failing else "events are written to the log"
            )
            yield _plain("event_log_failing", labels, float(failing), now, text)
        recent = self._from.requests.recent()
        low, high = wilson_interval(recent.failed, recent.n)
        share = recent.failed / recent.n if recent.n else 0.0
        text = f"{recent.failed:,} of {recent.n:,} requests failed in the last five minutes"
        # Without requests nothing fails, which is no lack of data.
        yield Reading("error_share", labels, share, low, high, recent.n, None, now, text)
        slowest = recent.slowest_percent
        text = "no predictions in the last five minutes"
        if slowest is not None:
            text = f"99 % of {recent.n - recent.failed:,} predictions were answered within {slowest:.3g} s"
        yield Reading("latency", labels, slowest or 0.0, None, None, recent.n, None, now, text)

    def _of_windows(self, serving: list[Deployment], now: float) -> Iterator[Reading]:
        if self._from.windows.state == "off":
            return
        found: list[RollingSnapshot] = []
        if self._from.windows.state != "down":
            try:
                classes = len(self._from.deployments.champion.classes)
                found = self._from.windows.rolling([one.label for one in serving], classes)
            except StoreUnavailable:
                found = []
        for snapshot in found:
            yield from _of_snapshot(snapshot, now)

    def _of_promise(self, view: MonitorView, parts: set[str], now: float) -> Iterator[Reading]:
        """`parts`: those of open alerts, which must hear of a reset."""
        bundle, reading = view.terms.bundle, view.reading
        n, since = (None, None) if reading is None else (reading.audits, reading.since)
        known = {one.part for one in (() if reading is None else reading.signals)}
        for signal in _OF_PROMISE:
            yield from _of_alarms(bundle, signal, parts | known, view.latch, (n, since, now, view.sentence))
        if view.terms.answers and reading is not None and reading.audits:
            low, high = reading.risk
            labels = labels_of({"bundle": bundle})
            yield Reading("promise_risk", labels, None, low, high, n, since, now, view.sentence)
            low, high = wilson_interval(reading.missing, reading.audits)
            text = f"{reading.missing:,} of {reading.audits:,} audits never got a label"
            share = reading.missing_share
            yield Reading("audits_unlabelled", labels, share, low, high, n, since, now, text)

    def _of_drift(self, deployment: Deployment, now: float) -> Iterator[Reading]:
        status = self._from.drift.status(deployment)
        if status.state == "off":
            return
        labels = labels_of({"bundle": deployment.label, "service": self._from.service})
        found = status.conclusion
        if found is None or found.withheld is not None:
            yield Reading("drift", labels, None, None, None, None, None, now, status.sentence)
            return
        yield _of_conclusion(labels, found, now)
        risk = found.expected.risk
        if risk is not None:
            text = found.performance_sentence(status.audited) or ""
            yield Reading(
                "expected_risk", labels, risk.value, risk.low, risk.high, risk.n, found.since, now, text
            )

    def _of_gone(self, bundle: str, alerts: list[Alert], now: float) -> Iterator[Reading]:
        """A promise stays broken until a person resets it; all else of a bundle ends with its answers."""
        latch = self._from.promise.latch_of(bundle)
        text = f"{bundle} answers nothing any more"
        parts = {alert.label("part") for alert in alerts}
        for signal in _OF_PROMISE:
            yield from _of_alarms(bundle, signal, parts, latch, (None, None, now, text))
        for alert in alerts:
            signal = "" if alert.reading is None else alert.reading.signal
            if alert.label("service") not in ("", self._from.service):
                continue  # What another service has seen, it ends itself.
            if not signal.startswith("promise_") or signal == "promise_risk":
                yield Reading(signal, alert.labels, None, None, None, None, None, now, text, over=True)


def _by_bundle(state: EngineState) -> dict[str, list[Alert]]:
    """The open alerts of each bundle."""
    found: dict[str, list[Alert]] = {}
    for alert in state.alerts.values():
        if alert.active and alert.label("bundle"):
            found.setdefault(alert.label("bundle"), []).append(alert)
    return found


def _of_alarms(
    bundle: str,
    signal: str,
    parts: set[str],
    latch: BundleLatch,
    of: tuple[int | None, float | None, float, str],
) -> Iterator[Reading]:
    """Whether each alarm of a signal stands, of every part that is known."""
    n, since, now, text = of
    alarms = {alarm.part: alarm for alarm in latch.alarms.values() if alarm.signal == signal}
    for part in sorted({*parts, *alarms} or {""}):
        labels, alarm = labels_of({"bundle": bundle, "part": part}), alarms.get(part)
        began = since if alarm is None else alarm.at
        value = float(alarm is not None)
        yield Reading(f"promise_{signal}", labels, value, None, None, n, began, now, text)


def _of_conclusion(labels: Labels, found: Conclusion, now: float) -> Reading:
    since = found.alarm_since if found.alarm else found.since
    return Reading(
        "drift", labels, float(found.alarm), None, None, found.images, since, now, found.sentence()
    )


def _of_snapshot(snapshot: RollingSnapshot, now: float) -> Iterator[Reading]:
    for size in snapshot.sizes:
        labels = labels_of({"bundle": snapshot.bundle, "window": str(size)})
        window, decided = snapshot.all.windows[size], snapshot.decided[size]
        figures = (
            ("accuracy", window.accuracy, window.n, "the last labelled predictions"),
            ("mcc", window.mcc, window.n, "the last labelled predictions"),
            ("coverage", decided.coverage, decided.n, "the last predictions"),
        )
        for signal, figure, n, of in figures:
            yield _of_figure(signal, labels, figure, (n, of, now))
    text = "no prediction yet"
    if snapshot.label_coverage is not None:
        text = f"{100 * snapshot.label_coverage:.3g} % of the latest predictions have a label"
    labels = labels_of({"bundle": snapshot.bundle})
    yield _plain("label_coverage", labels, snapshot.label_coverage, now, text)


def _of_figure(signal: str, labels: Labels, figure: Figure, of: tuple[int, str, float]) -> Reading:
    n, what, now = of
    if figure.value is None or figure.reason is not None:
        text = f"no {signal} yet: {figure.reason}"
        return Reading(signal, labels, None, None, None, n, None, now, text)
    text = f"{signal} over {n:,} of {what}: {figure.value:.3g} ({figure.low:.3g} to {figure.high:.3g})"
    return Reading(signal, labels, figure.value, figure.low, figure.high, n, None, now, text)


def _plain(signal: str, labels: Labels, value: float | None, now: float, text: str) -> Reading:
    """A reading without an interval."""
    return Reading(signal, labels, value, None, None, None, None, now, text)
