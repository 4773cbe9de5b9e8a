"""Labels: who may send them, one by one and many at a time, and whose they are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.tiny_bundle import ANSWERED_BY_A
from fakes.waiting import eventually
from starlette.testclient import TestClient

from service.errors import MAX_LABELS

Images = Callable[..., bytes]
MakeClient = Callable[..., TestClient]

ANNA, BOB = "anna-token-of-the-tests", "bob=token=of=the=tests"
TOKENS = f"anna={ANNA},bob={BOB}"
JSON = {"Content-Type": "application/json"}
LABEL = {"request_id": "a", "label": 1}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def make_monitored(make_client: MakeClient, valkey_url: str) -> MakeClient:
    """`make_monitored(**settings)`: a client with a store and its own model name."""
    return lambda **settings: make_client(redis_url=valkey_url, model=f"m-{uuid.uuid4().hex}", **settings)


def logged(folder: Path) -> list[dict[str, Any]]:
    """Labels in the event log of a data folder."""
    lines = [line for file in folder.glob("events/*/*/*.jsonl") for line in file.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["event"] == "feedback"]


def counted(client: TestClient, name: str) -> dict[str, float]:
    """The samples of a counter, by their labels as text."""
    lines = [line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines()]
    return {key.removeprefix(name): float(value) for key, value in lines if key.startswith(name + "{")}


def kinds(answer: Any) -> list[str]:
    """`accepted`, or the kind of the problem, of each label of a batch."""
    assert answer.status_code == 202, answer.text
    return [one.get("status") or one["problem"]["type"].rsplit(":", 1)[1] for one in answer.json()["results"]]


def test_without_tokens_labels_are_open_and_everything_says_so(make_monitored: MakeClient) -> None:
    client = make_monitored()
    note = "Labels are open: anyone who reaches this port may send them, so nothing is done on their account."
    expected = {"open": True, "may_act": False, "note": note}
    assert client.post("/feedback", json=LABEL).status_code == 202
    # A proxy may add a header of its own.
    assert client.post("/feedback", json=LABEL, headers=bearer("whatever")).status_code == 202
    assert client.get("/health").json()["labels"] == expected
    assert client.get("/rolling").json()["labels"] == expected


def test_open_labels_may_be_trusted_by_a_setting(make_client: MakeClient) -> None:
    labels = make_client(trust_open_labels=True).get("/health").json()["labels"]
    assert (labels["open"], labels["may_act"]) == (True, True)
    assert labels["note"].endswith("and the service acts on them.")


@pytest.mark.parametrize("path", ["/feedback", "/feedback/batch"])
@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "missing"),
        ([("Authorization", "Bearer a-token-that-is-wrong")], "wrong"),
        ([("Authorization", "Bearer ")], "wrong"),
        ([("Authorization", f"Basic {ANNA}")], "wrong"),
        ([("Authorization", ANNA)], "wrong"),
        ([("Authorization", f"Bearer {ANNA}"), ("Authorization", f"Bearer {ANNA}")], "wrong"),
        ([("X-Api-Key", ANNA)], "missing"),
    ],
)
def test_with_tokens_a_label_without_a_right_one_is_refused(
    make_client: MakeClient, path: str, headers: list[tuple[str, str]], why: str
) -> None:
    client = make_client(feedback_tokens=TOKENS)
    # Not even a body that no route reads is looked at before.
    answer = client.post(path, content=b"{", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    body = answer.json()
    assert (body["type"], body["field"]) == ("urn:demur:problem:unauthorized", "Authorization")
    assert "Authorization: Bearer TOKEN" in body["detail"]
    assert counted(client, "demur_feedback_refusals_total") == {f'{{token="{why}"}}': 1.0}
    labels = client.get("/health").json()["labels"]
    assert labels == {"open": False, "may_act": True, "note": "Labels need a token."}


def test_the_event_says_whose_label_it_is(make_monitored: MakeClient, tmp_path: Path) -> None:
    client = make_monitored(feedback_tokens=TOKENS)
    assert client.post("/feedback", json=LABEL, headers=bearer(ANNA)).status_code == 202
    batch = {"labels": [{"request_id": "b", "label": 0}]}
    by_bob = {"Authorization": f"bearer   {BOB} "}
    assert kinds(client.post("/feedback/batch", json=batch, headers=by_bob)) == ["accepted"]
    eventually(lambda: len(logged(tmp_path / "data")) == 2)
    found = {event["request_id"]: event["source"] for event in logged(tmp_path / "data")}
    assert found == {"a": "anna", "b": "bob"}


def test_a_stranger_does_not_use_up_the_quota_of_a_sender(make_monitored: MakeClient) -> None:
    client = make_monitored(feedback_tokens=TOKENS, quota_rate=0.01, quota_burst=2)
    wrong = [client.post("/feedback", json=LABEL, headers=bearer("x" * 20)).status_code for _ in range(4)]
    assert wrong == [401, 401, 429, 429]
    mine = [client.post("/feedback", json=LABEL, headers=bearer(ANNA)).status_code for _ in range(3)]
    assert mine == [202, 202, 429]
    assert client.post("/feedback", json=LABEL, headers=bearer(BOB)).status_code == 202


def test_a_batch_has_an_outcome_for_each_label(make_monitored: MakeClient, make_colour_image: Images) -> None:
    client = make_monitored()
    for name in ("seen", "corrected"):
        headers = {"Content-Type": "image/jpeg", "X-Request-Id": name}
        client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=headers)
    client.post("/feedback", json={"request_id": "corrected", "label": 1})
    labels = [
        {"request_id": "seen", "label": 1},
        {"request_id": "corrected", "label": "blue"},
        {"request_id": "not-yet-predicted", "label": 1.0},
        {"request_id": "a", "label": 2},
        {"request_id": "a", "label": "many"},
        {"request_id": "a", "label": True},
        {"request_id": "seen~f73d5d5e0be71283", "label": 1},
        {"request_id": "x" * 200, "label": 1},
        {"request_id": 7, "label": 1},
        {"label": 1},
        {"request_id": "a"},
        "a",
        None,
    ]
    answer = client.post("/feedback/batch", json={"labels": labels})
    assert kinds(answer) == [
        *3 * ["accepted"],
        *6 * ["invalid-field"],
        *2 * ["missing-field"],
        *2 * ["invalid-field"],
    ]
    body = answer.json()
    assert body["accepted"] == 3
    fields = [one["problem"]["field"] for one in body["results"][3:]]
    assert fields == [
        *("labels[3].label", "labels[4].label", "labels[5].label"),
        *("labels[6].request_id", "labels[7].request_id", "labels[8].request_id", "labels[9].request_id"),
        *("labels[10].label", "labels[11]", "labels[12]"),
    ]
    assert [one["request_id"] for one in body["results"][6:]] == [
        *("seen~f73d5d5e0be71283", "x" * 128, None, None, "a", None, None)
    ]
    assert counted(client, "demur_refusals_total")['{problem="invalid-field"}'] == 8
    eventually(lambda: client.get("/rolling").json()["labelled"] == 2)
    cells = client.get("/rolling").json()["all"]["acc"]["cells"]
    assert cells == [
        {"predicted": 1, "label": 0, "count": 1},
        {"predicted": 1, "label": 1, "count": 1},
    ]


def test_labels_of_one_batch_that_differ_for_one_id_are_all_refused(
    make_monitored: MakeClient, tmp_path: Path
) -> None:
    client = make_monitored()
    given = [("a", 1), ("twice", 0), ("a", "red"), ("twice", 0), ("a", 0)]
    answer = client.post(
        "/feedback/batch", json={"labels": [{"request_id": name, "label": label} for name, label in given]}
    )
    refused = "contradicting-labels"
    assert kinds(answer) == [refused, "accepted", refused, "accepted", refused]
    problem = answer.json()["results"][0]["problem"]
    assert problem["detail"].startswith("labels[0], labels[2], labels[4] differ for one request_id")
    eventually(lambda: len(logged(tmp_path / "data")) == 2)
    assert {event["request_id"] for event in logged(tmp_path / "data")} == {"twice"}


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        ({}, 422, "missing-field"),
        ({"labels": []}, 422, "missing-field"),
        ({"labels": {"a": 1}}, 422, "invalid-field"),
        ({"labels": (MAX_LABELS + 1) * [LABEL]}, 413, "too-many-labels"),
        ([LABEL], 422, "invalid-field"),
        ({"labels": [{"request_id": "x" * 600_000, "label": 1}]}, 413, "body-too-large"),
    ],
)
def test_a_batch_that_is_none(make_monitored: MakeClient, content: Any, status: int, kind: str) -> None:
    answer = make_monitored().post("/feedback/batch", json=content)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:demur:problem:{kind}")


def test_a_full_batch_of_the_longest_ids_is_taken(make_monitored: MakeClient) -> None:
    client = make_monitored()
    labels = [{"request_id": f"{number:x<120}", "label": "red"} for number in range(MAX_LABELS)]
    answer = client.post("/feedback/batch", content=json.dumps({"labels": labels}, indent=8), headers=JSON)
    assert kinds(answer) == MAX_LABELS * ["accepted"]


def test_each_label_of_a_batch_counts_against_the_quota(make_monitored: MakeClient) -> None:
    client = make_monitored(quota_rate=1.0, quota_burst=5)
    batch = {"labels": [{"request_id": f"r{number}", "label": 1} for number in range(100)]}
    assert kinds(client.post("/feedback/batch", json=batch)) == 100 * ["accepted"]
    answer = client.post("/feedback", json=LABEL)
    assert answer.status_code == 429
    assert 90 <= int(answer.headers["retry-after"]) <= 100


def test_labels_beyond_the_room_are_refused_one_by_one(make_client: MakeClient, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    client = make_client(redis_url="redis://127.0.0.1:1", events_kept=3)
    batch = {"labels": [{"request_id": f"r{number}", "label": 1} for number in range(5)]}
    assert kinds(client.post("/feedback/batch", json=batch)) == 3 * ["accepted"] + 2 * ["store-unavailable"]
    assert counted(client, "demur_events_dropped_total")['{kind="feedback"}'] == 2
    answer = client.post("/feedback/batch", json=batch)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:demur:problem:store-unavailable")
    assert client.post("/feedback", json=LABEL).status_code == 503


def test_without_a_store_a_batch_is_refused_as_a_whole(client: TestClient) -> None:
    answer = client.post("/feedback/batch", json={"labels": [LABEL]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "without a store" in answer.json()["detail"]


def test_a_batch_labels_the_shadows_too(
    make_monitored: MakeClient, make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    shadow = make_tiny_bundle(name="shadow")
    client = make_monitored(challengers=f"{shadow}=shadow")
    label = next(one for one in client.get("/health").json()["challengers"] if one["name"] == "shadow")
    headers = {"Content-Type": "image/jpeg", "X-Request-Id": "a"}
    client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=headers)
    assert kinds(client.post("/feedback/batch", json={"labels": [LABEL]})) == ["accepted"]
    bundle = {"bundle": f"{label['name']}:{label['version']}"}
    eventually(lambda: client.get("/rolling", params=bundle).json()["labelled"] == 1)
