"""Reports of services and the wake-up of a fleet, over a real store."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes.waiting import eventually
from hypothesis import given
from hypothesis import strategies as st

from monitoring.fleet.names import fleet_prefix
from monitoring.fleet.report import ReportUnreadable, ServiceReport
from monitoring.fleet.reports import FRESH, FleetReports
from monitoring.fleet.wake import FleetWake
from monitoring.formats import FormatTooNew
from monitoring.store.connection import connect
from monitoring.store.contract import StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey

_REPORT = ServiceReport(
    *("pod-1", 12.5, 7, "a" * 64, "roads:0123456789abcdef", ("a" * 64, "b" * 64), 7),
    *("cannot open it", True, 2, "http://127.0.0.1:9000"),
)


def test_a_report_comes_back_as_it_went() -> None:
    assert ServiceReport.from_json(_REPORT.to_json()) == _REPORT


def test_a_report_of_a_version_with_other_fields_is_read() -> None:
    values = json.loads(_REPORT.to_json())
    del values["prepared"], values["workers"]
    found = ServiceReport.from_json(json.dumps({**values, "colour": "red"}).encode())
    assert found == replace(_REPORT, prepared=None, workers=1)


def test_a_report_of_a_later_format_is_refused_by_name() -> None:
    with pytest.raises(FormatTooNew, match="the report of a service has format 2"):
        ServiceReport.from_json(json.dumps({**json.loads(_REPORT.to_json()), "format": 2}).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [("generation", "7"), ("at", None), ("opened", "abc"), ("stale", 1), ("fault", 3), ("service", ["a"])],
)
def test_a_field_of_another_kind_is_refused(field: str, value: object) -> None:
    with pytest.raises(ReportUnreadable, match=f"{field} is "):
        ServiceReport.from_json(json.dumps({**json.loads(_REPORT.to_json()), field: value}).encode())


@given(st.binary(max_size=40))
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(ReportUnreadable):
        ServiceReport.from_json(document)


def test_the_reports_of_two_fleets_on_one_store_are_apart(valkey: EmbeddedValkey, model: str) -> None:
    with FleetReports(valkey.url, model) as one, FleetReports(valkey.url, f"{model}-2") as other:
        one.report(_REPORT)
        one.report(replace(_REPORT, service="pod-0"))
        other.report(replace(_REPORT, service="pod-9"))
        assert [report.service for report in one.all()] == ["pod-0", "pod-1"]
        assert [report.service for report in other.all()] == ["pod-9"]
        one.report(replace(_REPORT, generation=8))
        one.forget("pod-0")
        assert one.all() == [replace(_REPORT, generation=8)]


def test_an_old_report_counts_no_more_and_the_stores_clock_decides(
    valkey: EmbeddedValkey, model: str
) -> None:
    with FleetReports(valkey.url, model) as reports:
        reports.report(replace(_REPORT, at=0.0))
        assert len(reports.all()) == 1
        client = connect(valkey.url)
        client.zincrby(f"{fleet_prefix(model)}seen", -FRESH, "pod-1")
        assert reports.all() == []
        client.zincrby(f"{fleet_prefix(model)}seen", -3600, "pod-1")
        reports.report(replace(_REPORT, service="pod-2"))
        assert client.hkeys(f"{fleet_prefix(model)}reports") == [b"pod-2"]
        client.close()


def test_a_report_that_cannot_be_read_hides_no_other(valkey: EmbeddedValkey, model: str) -> None:
    with FleetReports(valkey.url, model) as reports:
        reports.report(_REPORT)
        reports.report(replace(_REPORT, service="pod-2"))
        client = connect(valkey.url)
        client.hset(f"{fleet_prefix(model)}reports", "pod-1", b"{")
        client.close()
        assert [one.service for one in reports.all()] == ["pod-2"]


@pytest.mark.parametrize("url", ["http://x", "redis://127.0.0.1:1/0"])
def test_a_store_that_cannot_be_reached_is_an_error_of_its_own(url: str) -> None:
    with pytest.raises(StoreUnavailable):
        FleetReports(url, "roads").all()
    with pytest.raises(StoreUnavailable):
        FleetWake(url, "roads").publish()
    with pytest.raises(StoreUnavailable):
        FleetWake(url, "roads").wait(0.01)


def test_a_name_with_braces_is_refused(valkey: EmbeddedValkey) -> None:
    with pytest.raises(ValueError, match="without braces"):
        FleetReports(valkey.url, "a}b")


def test_a_change_wakes_its_fleet_and_no_other(valkey: EmbeddedValkey, model: str) -> None:
    with FleetWake(valkey.url, model) as one, FleetWake(valkey.url, f"{model}-2") as other:
        one.listen()
        other.listen()
        with FleetWake(valkey.url, model) as writer:
            writer.publish()
        assert one.wait(60.0)
        assert not other.wait(0.05)
        assert not one.wait(0.05)


def test_a_wake_up_is_heard_again_after_the_store_was_away(
    private_valkey: Callable[[], EmbeddedValkey],
) -> None:
    first = private_valkey()
    with FleetWake(first.url, "roads") as wake:
        wake.listen()
        first.close()
        with pytest.raises(StoreUnavailable):
            wake.wait(60.0)
        second = private_valkey()
        heard = threading.Event()

        def listen() -> None:
            while not heard.is_set():
                if wake.wait(0.2):
                    heard.set()

        thread = threading.Thread(target=listen)
        thread.start()
        with FleetWake(second.url, "roads") as writer:

            def told() -> bool:
                writer.publish()
                return heard.is_set()

            eventually(told)
        thread.join()
