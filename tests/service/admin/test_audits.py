"""GET /audits: the audits without a label, a page at a time, for the operator and for labelling tools."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from monitoring.events import FeedbackEvent, PredictionEvent
from monitoring.promise.items import AuditCounts, AuditPage, ItemChanges, ItemReader
from monitoring.promise.stored_items import StoredItems
from monitoring.store.connection import connect
from monitoring.store.contract import StoreUnavailable
from monitoring.windows.rolling import RollingWindows
from service.admin.app import create_admin_app
from service.admin.figures import Figures
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan
from service.tokens import FeedbackToken

TOKEN, SENDER = "a-token-for-the-tests", "a-token-of-a-sender"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
AS_SENDER = {"Authorization": f"Bearer {SENDER}"}

MakeClient = Callable[[ItemReader | None], TestClient]


@pytest.fixture
def make_admin(tiny_bundle: Path) -> MakeClient:
    def make(items: ItemReader | None) -> TestClient:
        fleet = Fleet(LineupPlan(tiny_bundle))
        senders = [FeedbackToken("anna", SENDER)]
        return TestClient(
            create_admin_app(
                fleet, tiny_bundle.parent, TOKEN, feedback_tokens=senders, figures=Figures(items)
            )
        )

    return make


@pytest.fixture
def stored(valkey_url: str, tmp_path: Path) -> Iterator[tuple[RollingWindows, StoredItems]]:
    client = connect(valkey_url)
    model = f"m-{time.monotonic_ns()}"
    yield RollingWindows(client, model), StoredItems(client, model)
    client.close()


def audited(name: str, at: float, bundle: str = "b:1", unit: str | None = None) -> PredictionEvent:
    return PredictionEvent(
        *(name, bundle, 1, 1, "A", 1.0, 0.9, at), unit, audit=True, draw=0.5, audit_probability=1.0
    )


class Away:
    """A store that does not answer."""

    def changes(self, bundle: str, after: int | None) -> ItemChanges:
        raise StoreUnavailable("it is away")

    def waiting(self, bundle: str | None, after: str | None, limit: int) -> AuditPage:
        raise StoreUnavailable("it is away")

    def counts(self, bundle: str) -> AuditCounts:
        raise StoreUnavailable("it is away")


def ids(answer: Any) -> Sequence[str]:
    assert answer.status_code == 200, answer.text
    return [audit["request_id"] for audit in answer.json()["audits"]]


def test_the_oldest_come_first_and_a_label_takes_them_away(
    make_admin: MakeClient, stored: tuple[RollingWindows, StoredItems]
) -> None:
    windows, items = stored
    now = time.time()
    windows.apply([audited("late", now - 60, unit="cam"), audited("early", now - 3600, "b:2")])
    client = make_admin(items)
    answer = client.get("/audits", headers=ALLOWED)
    assert ids(answer) == ["early", "late"]
    early, late = answer.json()["audits"]
    assert (early["bundle"], early["unit_id"]) == ("b:2", None)
    assert (late["bundle"], late["unit_id"]) == ("b:1", "cam")
    assert 3600 <= early["age_seconds"] < 3700
    assert late["time"].endswith("+00:00")
    assert answer.json()["next"] is None
    assert ids(client.get("/audits", params={"bundle": "b:1"}, headers=ALLOWED)) == ["late"]
    windows.apply([FeedbackEvent("late", 1, now)])
    assert ids(client.get("/audits", headers=ALLOWED)) == ["early"]


def test_pages_lead_through_all_of_them(
    make_admin: MakeClient, stored: tuple[RollingWindows, StoredItems]
) -> None:
    windows, items = stored
    now = time.time()
    # Several at one moment: the cursor must tell them apart.
    windows.apply([audited(f"r{number}", now - 100 + number // 4) for number in range(10)])
    client, after, seen = make_admin(items), None, []
    for _ in range(4):
        params = {"limit": 3, **({} if after is None else {"after": after})}
        answer = client.get("/audits", params=params, headers=ALLOWED)
        seen += ids(answer)
        after = answer.json()["next"]
    assert after is None
    assert seen == [f"r{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"after": "yesterday"}, "after"),
        ({"after": "nan_r1"}, "after"),
        ({"after": "1e999_r1"}, "after"),
        ({"after": "x" * 301}, "after"),
        ({"after": ""}, "after"),
        ({"bundle": "x" * 301}, "bundle"),
    ],
)
def test_what_no_page_gave_is_refused(
    make_admin: MakeClient,
    stored: tuple[RollingWindows, StoredItems],
    params: dict[str, str],
    field: str,
) -> None:
    answer = make_admin(stored[1]).get("/audits", params=params, headers=ALLOWED)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:demur:problem:invalid-field")
    assert answer.json()["field"] == field


def test_an_unknown_bundle_has_none(
    make_admin: MakeClient, stored: tuple[RollingWindows, StoredItems]
) -> None:
    client = make_admin(stored[1])
    for bundle in ("b:3", "{b}", "b\r\n*", "ü"):
        assert ids(client.get("/audits", params={"bundle": bundle}, headers=ALLOWED)) == []


@pytest.mark.parametrize(("items", "why"), [(None, "without a store"), (Away(), "it is away")])
def test_a_store_that_is_away_is_said(make_admin: MakeClient, items: ItemReader | None, why: str) -> None:
    answer = make_admin(items).get("/audits", headers=ALLOWED)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:demur:problem:store-unavailable")
    assert why in answer.json()["detail"]


def test_a_token_of_a_sender_opens_this_route_alone(
    make_admin: MakeClient, stored: tuple[RollingWindows, StoredItems]
) -> None:
    client = make_admin(stored[1])
    assert ids(client.get("/audits", headers=AS_SENDER)) == []
    for method, path in (
        ("GET", "/bundles"),
        ("POST", "/audits"),
        ("GET", "/audits/"),
        ("GET", "/openapi.json"),
        ("POST", "/rollback"),
        ("DELETE", "/challengers/x"),
    ):
        assert client.request(method, path, headers=AS_SENDER).status_code == 401
    assert client.get("/audits").status_code == 401
