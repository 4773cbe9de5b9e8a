"""Signals of a service: value, interval, n, since and labels of each, also without data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from calibration.drift.performance import Estimate, ExpectedPerformance
from calibration.metrics import wilson_interval
from monitoring.alerts.alert import Alert
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.signals import SIGNALS, Reading, labels_of
from monitoring.drift.conclusion import Conclusion
from monitoring.experiments.folder import ExperimentFolder
from monitoring.metrics.request_window import RecentRequests
from monitoring.promise import reading as promise
from monitoring.promise.latch import Alarm, BundleLatch
from monitoring.promise.terms import PromiseTerms
from monitoring.promise.watch import MonitorView
from monitoring.windows.snapshot import DecidedWindow, RollingSnapshot, SeriesSnapshot, WindowSnapshot
from service.alerting.signals import ServiceSignals, Sources
from service.compute.drift_samples import DriftStatus
from service.errors import StoreUnavailable

SERVICE = "a:8000"
QUIET = RecentRequests(0, 0, None)
RIGHT, WRONG = Estimate(0.97, 0.96, 0.98, 250), Estimate(0.02, 0.01, 0.03, 200)
CONCLUSION = Conclusion(5000.0, 4000.0, 4900.0, 250, True, "reference", 1000, 1.0, 0.01)


@dataclass
class Worker:
    """What a worker knows, in the place of its monitors."""

    folder: Path
    bundles: tuple[str, ...] = ("one:1",)
    store: str = "up"
    log: str = "ok"
    waiting: int = 0
    requests: RecentRequests = QUIET
    snapshots: dict[str, RollingSnapshot] = field(default_factory=dict)
    readings: dict[str, promise.Reading] = field(default_factory=dict)
    latches: dict[str, BundleLatch] = field(default_factory=dict)
    drift: dict[str, DriftStatus] = field(default_factory=dict)
    silent: bool = False
    """Whether the store answers no more, though nobody has noticed yet"""
    asked: list[list[str]] = field(default_factory=list)

    def signals(self, *alerts: Alert) -> list[Reading]:
        """The readings of now."""
        first, *others = (self._deployment(label) for label in self.bundles)
        lineup = SimpleNamespace(
            champion=first, challengers=[SimpleNamespace(deployment=one, share=0.1) for one in others]
        )
        windows = SimpleNamespace(
            state=self.store, log_state=self.log, waiting=self.waiting, rolling=self._rolling
        )
        sources: Any = (
            SERVICE,
            lineup,
            SimpleNamespace(view=self._view, latch_of=lambda one: self.latches.get(one, BundleLatch())),
            SimpleNamespace(status=lambda one: self.drift.get(one.label, DriftStatus("off", "no reference"))),
            windows,
            SimpleNamespace(recent=lambda: self.requests),
            ExperimentFolder(self.folder),
            lambda: None,
        )
        state = EngineState(alerts={one.fingerprint: one for one in alerts})
        return ServiceSignals(Sources(*sources))(state)

    def of(self, signal: str, *alerts: Alert) -> list[Reading]:
        """The readings of one signal."""
        return [one for one in self.signals(*alerts) if one.signal == signal]

    def _deployment(self, label: str) -> Any:
        return SimpleNamespace(label=label, classes=("no", "yes"), terms=PromiseTerms(label, "promised"))

    def _view(self, terms: PromiseTerms) -> MonitorView:
        latch = self.latches.get(terms.bundle, BundleLatch())
        return MonitorView(terms, self.readings.get(terms.bundle), latch, "The promise.", suspended=False)

    def _rolling(self, labels: Sequence[str], classes: int) -> list[RollingSnapshot]:
        self.asked.append(list(labels))
        if self.silent:
            raise StoreUnavailable("no answer")
        return [self.snapshots[one] for one in labels if one in self.snapshots]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def a_snapshot(bundle: str, labelled: int = 10, label_coverage: float | None = 0.5) -> RollingSnapshot:
    """Ten labelled predictions of which eight are right, and twelve of which six were answered."""
    cells = {(1, 1): 5, (0, 0): 3, (1, 0): 2} if labelled else {}
    decided = {(True, "A"): 6, (False, "B"): 6} if labelled else {}
    series = SeriesSnapshot({size: WindowSnapshot.of(size, cells) for size in (10, 100)})
    return RollingSnapshot(
        bundle,
        (10, 100),
        series,
        series,
        {size: DecidedWindow.of(size, decided) for size in (10, 100)},
        20,
        labelled,
        label_coverage,
        (),
    )


def an_alert(signal: str, **labels: str) -> Alert:
    about = labels_of(labels)
    reading = Reading(signal, about, 1.0, None, None, None, None, 0.0, "it fires")
    return Alert(f"{signal} {labels}", "rule", about, 1, 0.0, fired_at=1.0, reading=reading)


def test_a_service_that_is_well_has_a_value_for_each_of_its_own_signals(worker: Worker) -> None:
    found = {one.signal: one for one in worker.signals() if one.label("service")}
    assert found.keys() == {"store_away", "events_waiting", "event_log_failing", "error_share", "latency"}
    assert {one.value for one in found.values()} == {0.0}
    assert {one.labels for one in found.values()} == {(("service", SERVICE),)}
    # Without requests nothing fails: 0, and the widest interval.
    assert (found["error_share"].low, found["error_share"].high, found["error_share"].n) == (0.0, 1.0, 0)
    assert found["latency"].text == "no predictions in the last five minutes"


def test_store_log_and_events_that_wait(worker: Worker) -> None:
    worker.store, worker.log, worker.waiting = "down", "failing", 1234
    (away,), (failing,), (waiting,) = map(worker.of, ("store_away", "event_log_failing", "events_waiting"))
    assert (away.value, failing.value, waiting.value) == (1.0, 1.0, 1234.0)
    assert "does not answer" in away.text
    assert "cannot be written" in failing.text
    assert waiting.text == "1,234 events wait for the store"
    worker.store = "rebuilding"
    assert worker.of("store_away")[0].value == 0.0


def test_what_is_off_has_no_reading(worker: Worker) -> None:
    worker.store = worker.log = "off"
    assert {one.signal for one in worker.signals()} == {
        *("error_share", "latency", "promise_broken", "promise_worse", "promise_coverage"),
    }
    assert worker.asked == []


def test_errors_have_the_interval_of_a_share_and_latency_has_none(worker: Worker) -> None:
    worker.requests = RecentRequests(200, 3, 0.25)
    (errors,), (latency,) = worker.of("error_share"), worker.of("latency")
    assert (errors.value, errors.low, errors.high) == (0.015, *wilson_interval(3, 200))
    assert (errors.n, errors.text) == (200, "3 of 200 requests failed in the last five minutes")
    assert (latency.value, latency.low, latency.high, latency.n) == (0.25, None, None, 200)
    assert latency.text == "99 % of 197 predictions were answered within 0.25 s"


def test_figures_of_the_windows_of_each_bundle(worker: Worker) -> None:
    worker.bundles = ("one:1", "two:2")
    worker.snapshots = {"one:1": a_snapshot("one:1"), "two:2": a_snapshot("two:2", label_coverage=0.25)}
    accuracy = worker.of("accuracy")
    assert [one.labels for one in accuracy] == [
        labels_of({"bundle": bundle, "window": size}) for bundle in worker.bundles for size in ("10", "100")
    ]
    figure = a_snapshot("one:1").all.windows[10].accuracy
    assert (accuracy[0].value, accuracy[0].low, accuracy[0].high) == (0.8, figure.low, figure.high)
    assert accuracy[0].n == 10
    assert accuracy[0].text.startswith("accuracy over 10 of the last labelled predictions: 0.8 (")
    coverage, mcc = worker.of("coverage")[0], worker.of("mcc")[0]
    assert (coverage.value, coverage.n) == (0.5, 12)
    assert coverage.low is not None
    assert coverage.high is not None
    assert coverage.low < 0.5 < coverage.high
    assert mcc.value == pytest.approx(a_snapshot("one:1").all.windows[10].mcc.value)
    assert [(one.label("bundle"), one.value) for one in worker.of("label_coverage")] == [
        ("one:1", 0.5),
        ("two:2", 0.25),
    ]
    assert worker.asked[0] == ["one:1", "two:2"]


def test_windows_without_a_label_have_no_figure_and_say_why(worker: Worker) -> None:
    worker.snapshots = {"one:1": a_snapshot("one:1", labelled=0, label_coverage=None)}
    for signal in ("accuracy", "mcc", "coverage"):
        first, *_ = worker.of(signal)
        assert (first.value, first.low, first.high, first.n) == (None, None, None, 0)
        assert first.text.startswith(f"no {signal} yet: ")
    (labels,) = worker.of("label_coverage")
    assert (labels.value, labels.text) == (None, "no prediction yet")


@pytest.mark.parametrize(("store", "silent"), [("down", False), ("up", True)])
def test_windows_of_a_store_that_does_not_answer_have_no_reading(
    worker: Worker, store: str, silent: bool
) -> None:
    worker.snapshots = {"one:1": a_snapshot("one:1")}
    worker.store, worker.silent = store, silent
    assert worker.of("accuracy") == worker.of("label_coverage") == []
    assert worker.of("error_share")


def test_a_promise_that_holds_and_the_audits_behind_it(worker: Worker) -> None:
    parts = tuple(promise.SignalReading("broken", part, 1.0, 2.0, 20.0, 0.01) for part in ("day", "night"))
    worker.readings = {"one:1": promise.Reading("one:1", 4000.0, 90, 60, 6, risk=(0.01, 0.2), signals=parts)}
    assert [(one.label("part"), one.value, one.n, one.since) for one in worker.of("promise_broken")] == [
        ("day", 0.0, 60, 4000.0),
        ("night", 0.0, 60, 4000.0),
    ]
    (risk,), (missing,) = worker.of("promise_risk"), worker.of("audits_unlabelled")
    assert (risk.value, risk.low, risk.high, risk.n, risk.since) == (None, 0.01, 0.2, 60, 4000.0)
    assert (missing.value, missing.low, missing.high) == (0.1, *wilson_interval(6, 60))
    assert missing.text == "6 of 60 audits never got a label"


def test_an_alarm_of_a_part_begins_when_it_was_raised(worker: Worker) -> None:
    worker.readings = {"one:1": promise.Reading("one:1", 4000.0, 90, 60)}
    worker.latches = {
        "one:1": BundleLatch(0.0, {"broken night": Alarm("broken", "night", 4500.0, 30.0, True)})
    }
    (broken,) = worker.of("promise_broken")
    assert (broken.value, broken.label("part"), broken.since) == (1.0, "night", 4500.0)
    assert [one.value for one in worker.of("promise_worse")] == [0.0]
    # After a reset the alert of the part must hear that it is over, though no alarm names the part any more.
    worker.latches = {}
    alert = an_alert("promise_broken", bundle="one:1", part="night")
    assert [(one.label("part"), one.value) for one in worker.of("promise_broken", alert)] == [("night", 0.0)]


def test_a_promise_without_audits_or_before_the_store_answers(worker: Worker) -> None:
    assert [(one.value, one.n, one.since) for one in worker.of("promise_broken")] == [(0.0, None, None)]
    worker.readings = {"one:1": promise.Reading("one:1", None)}
    assert worker.of("promise_risk") == worker.of("audits_unlabelled") == []


def test_drift_of_each_bundle_with_the_service_that_has_seen_its_images(worker: Worker) -> None:
    expected = ExpectedPerformance(RIGHT, WRONG)
    found = replace(CONCLUSION, alarm_since=4500.0, expected=expected)
    worker.bundles = ("one:1", "two:2")
    worker.drift = {"one:1": DriftStatus("moved", "moved", conclusion=found)}
    (drift,), (risk,) = worker.of("drift"), worker.of("expected_risk")
    assert drift.labels == risk.labels == labels_of({"bundle": "one:1", "service": SERVICE})
    assert (drift.value, drift.n, drift.since) == (1.0, 250, 4500.0)
    assert (risk.value, risk.low, risk.high, risk.n) == (0.02, 0.01, 0.03, 200)
    worker.drift = {"one:1": DriftStatus("quiet", "quiet", conclusion=CONCLUSION)}
    (drift,) = worker.of("drift")
    assert (drift.value, drift.since) == (0.0, 4000.0)
    assert worker.of("expected_risk") == []


@pytest.mark.parametrize("conclusion", [None, replace(CONCLUSION, withheld="too few units")])
def test_drift_without_a_conclusion_is_no_data(worker: Worker, conclusion: Conclusion | None) -> None:
    worker.drift = {"one:1": DriftStatus("collecting", "12 of 250 images are there", conclusion=conclusion)}
    (drift,) = worker.of("drift")
    assert (drift.value, drift.n, drift.text) == (None, None, "12 of 250 images are there")


def test_alerts_of_a_bundle_that_answers_no_more_end_except_those_of_its_promise(worker: Worker) -> None:
    worker.latches = {"old:0": BundleLatch(0.0, {"broken ": Alarm("broken", "", 4500.0, 30.0, trusted=True)})}
    alerts = (
        an_alert("accuracy", bundle="old:0", window="10"),
        an_alert("promise_broken", bundle="old:0"),
        an_alert("promise_risk", bundle="old:0"),
        an_alert("accuracy", bundle="one:1", window="10"),
    )
    old = [one for one in worker.signals(*alerts) if one.label("bundle") == "old:0"]
    assert {one.signal for one in old if one.over} == {"accuracy", "promise_risk"}
    (broken,) = [one for one in old if one.signal == "promise_broken"]
    assert (broken.value, broken.over, broken.since) == (1.0, False, 4500.0)
    assert not [one for one in worker.of("accuracy", *alerts) if one.label("bundle") == "one:1" and one.over]


def test_what_another_service_has_seen_of_a_bundle_is_not_ended_here(worker: Worker) -> None:
    elsewhere = an_alert("drift", bundle="old:0", service="b:8000")
    here = an_alert("drift", bundle="old:0", service=SERVICE)
    assert [one.label("service") for one in worker.of("drift", elsewhere, here) if one.over] == [SERVICE]


def test_every_reading_has_the_labels_and_the_range_of_its_signal(worker: Worker) -> None:
    worker.requests, worker.snapshots = RecentRequests(10, 1, 0.2), {"one:1": a_snapshot("one:1")}
    worker.readings = {"one:1": promise.Reading("one:1", 4000.0, 90, 60, 6, risk=(0.01, 0.2))}
    found = replace(CONCLUSION, expected=ExpectedPerformance(RIGHT, WRONG))
    worker.drift = {"one:1": DriftStatus("quiet", "quiet", conclusion=found)}
    readings = worker.signals()
    assert len({one.signal for one in readings}) == 16
    for one in readings:
        kind = SIGNALS[one.signal]
        assert {name for name, _ in one.labels} <= set(kind.labels), one
        assert all(
            kind.range[0] <= x <= kind.range[1] for x in (one.value, one.low, one.high) if x is not None
        )
        assert (one.low is not None) == kind.has_interval, one
        assert one.text
