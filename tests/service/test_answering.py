"""What an answer leaves behind: audits, at most one a unit, and the items of the monitors."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A
from fakes.waiting import eventually
from starlette.testclient import TestClient

from monitoring.promise.items import AuditCounts
from monitoring.promise.stored_items import StoredItems
from monitoring.windows.snapshot import REWARD_SIZES
from monitoring.windows.unit_windows import ItemTimes

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def model() -> str:
    return f"m-{uuid.uuid4().hex}"


@pytest.fixture
def items(valkey_url: str, model: str) -> Iterator[StoredItems]:
    reader = StoredItems.at(valkey_url, model, ItemTimes(), sizes=REWARD_SIZES)
    yield reader
    reader.close()


@pytest.fixture
def audited(make_client: Callable[..., TestClient], valkey_url: str, model: str) -> TestClient:
    """A service that audits every item."""
    return make_client(redis_url=valkey_url, model=model, audit_share=1.0)


def bundle_of(client: TestClient) -> str:
    bundle = client.get("/health").json()["bundle"]
    return f"{bundle['name']}:{bundle['version']}"


def audits(client: TestClient, image: bytes, *units: str) -> list[bool]:
    """`audit` of an answer to the image from each unit."""
    headers = [{**JPEG, **({"X-Unit-Id": unit} if unit else {})} for unit in units]
    return [client.post("/predict", content=image, headers=each).json()["audit"] for each in headers]


def test_answers_are_audited_and_abstentions_are_not(
    audited: TestClient, items: StoredItems, make_colour_image: Images
) -> None:
    assert audits(audited, make_colour_image(1, ANSWERED_BY_A), "", "") == [True, True]
    assert audits(audited, make_colour_image(1, ABSTAINED), "", "") == [False, False]
    bundle = bundle_of(audited)
    eventually(lambda: items.counts(bundle) == AuditCounts(2, 0, 0, 0))
    changes = items.changes(bundle, None)
    assert {item.probability for item in changes.audits} == {1.0}
    assert sum(decided for decided, _ in changes.decided.values()) == 4
    assert sum(answered for _, answered in changes.decided.values()) == 2
    (first, _) = sorted(changes.audits, key=lambda item: item.at)
    audited.post("/feedback", json={"request_id": first.request_id, "label": 0})
    eventually(lambda: items.counts(bundle).labelled == 1)
    page = items.waiting(None, None, 10)
    assert [one.bundle for one in page.audits] == [bundle]
    (changed,) = items.changes(bundle, changes.sequence).audits
    assert (changed.request_id, changed.wrong) == (first.request_id, True)


def test_a_burst_of_one_unit_is_one_item(
    audited: TestClient, items: StoredItems, make_colour_image: Images
) -> None:
    asked = audits(audited, make_colour_image(1, ANSWERED_BY_A), *["cam7"] * 12)
    assert asked[0]
    assert not all(asked)
    bundle = bundle_of(audited)
    eventually(lambda: items.counts(bundle) == AuditCounts(sum(asked), sum(asked) - 1, 0, 0))
    (item,) = items.changes(bundle, None).audits
    assert item.unit_id == "cam7"


def test_a_long_or_odd_unit_is_a_unit_all_the_same(
    audited: TestClient, items: StoredItems, make_colour_image: Images
) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    audits(audited, image, "x" * 10_000, "x" * 10_000, "camera 7 / front", "camera 7 / front", "  ")
    bundle = bundle_of(audited)
    eventually(lambda: items.counts(bundle).drawn - items.counts(bundle).replaced == 3)
    changes = items.changes(bundle, None)
    assert changes.with_units
    units = [item.unit_id for item in changes.audits]
    assert [unit is None for unit in sorted(units, key=str)] == [True, False, False]
    assert all(len(unit) < 64 for unit in units if unit)


def test_a_bundle_that_may_not_answer_has_no_items(
    make_client: Callable[..., TestClient],
    make_tiny_bundle: Callable[..., Path],
    valkey_url: str,
    model: str,
    items: StoredItems,
    make_colour_image: Images,
) -> None:
    client = make_client(
        bundle=make_tiny_bundle(feasible=False), redis_url=valkey_url, model=model, audit_share=1.0
    )
    assert audits(client, make_colour_image(1, ANSWERED_BY_A), "") == [False]
    eventually(lambda: client.get("/rolling").json()["predictions"] == 1)
    changes = items.changes(bundle_of(client), None)
    assert (changes.audits, changes.decided) == ([], {})


def test_the_counts_of_the_audits_are_metrics(audited: TestClient, make_colour_image: Images) -> None:
    audits(audited, make_colour_image(1, ANSWERED_BY_A), "", "")
    line = f'demur_audits_total{{bundle="{bundle_of(audited)}",outcome="drawn"}} 2.0'
    eventually(lambda: line in audited.get("/metrics").text)
    assert "# TYPE demur_audits_total counter" in audited.get("/metrics").text
