"""The promise monitor in the real service: alarms, suspension on every worker, restarts and resets."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

from monitoring.store.connection import connect

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
ADMIN = "a-token-of-the-tests-0123456789"
SENDER = "a-sender-of-the-tests-0123456789"
BEARER = {"Authorization": f"Bearer {SENDER}"}
WATCHED: dict[str, Any] = {
    "workers": 2,
    "cores": 1,
    "admin_port": 0,
    "admin_token": ADMIN,
    "feedback_tokens": f"tests={SENDER}",
    "audit_share": 1.0,
}


def answers(service: ServiceProcess, image: bytes, count: int) -> list[dict[str, Any]]:
    """The answers to `count` images, from both workers."""
    with service.client(every_worker=True) as client:
        return [client.post("/predict", content=image, headers=JPEG).json() for _ in range(count)]


def label_all(service: ServiceProcess, given: list[dict[str, Any]], *, wrong: bool) -> None:
    """Send a label for each answer; `wrong`: another one than was answered."""
    labels = [
        {"request_id": one["request_id"], "label": 1 - one["label"] if wrong else one["label"]}
        for one in given
    ]
    with service.client() as client:
        sent = client.post("/feedback/batch", json={"labels": labels}, headers=BEARER)
    assert sent.status_code in (200, 202), sent.text


def monitors(service: ServiceProcess) -> list[dict[str, Any]]:
    """The monitor of the champion as several connections see it, so that every worker is asked."""
    with service.client(every_worker=True) as client:
        return [client.get("/health").json()["monitors"][0] for _ in range(8)]


def break_the_promise(service: ServiceProcess, image: bytes) -> None:
    given = answers(service, image, 12)
    assert all(one["audit"] and one["decision"] == "answer" for one in given)
    label_all(service, given, wrong=True)


def admin(service: ServiceProcess) -> httpx.Client:
    return service.admin(ADMIN)


@pytest.fixture
def image(make_colour_image: Images) -> bytes:
    return make_colour_image(1, 0.9)


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "bundles" / "one")
    write_tiny_bundle(tmp_path / "bundles" / "two", stages=1, name="other")
    return tmp_path / "bundles"


def test_a_broken_promise_suspends_every_worker_until_a_person_resets_it(
    bundles: Path, tmp_path: Path, image: bytes
) -> None:
    settings = {**WATCHED, "on_broken_promise": "abstain"}
    with ServiceProcess(bundles / "one", tmp_path / "data", **settings) as service:
        good = answers(service, image, 10)
        label_all(service, good, wrong=False)
        held = "has held over 10 audited answers"
        eventually(lambda: all(held in one["sentence"] for one in monitors(service)))
        break_the_promise(service, image)
        eventually(lambda: any(one["suspended"] for one in monitors(service)))
        # Ten connections may all have reached the worker that has seen it first.
        eventually(lambda: {one["reason"] for one in answers(service, image, 10)} == {"suspended"})
        eventually(lambda: all(one["suspended"] for one in monitors(service)))
        (one,) = {one["sentence"] for one in monitors(service) if one["suspended"]}
        assert one.startswith("The promise is broken")
        with service.client(every_worker=True) as client:
            eventually(lambda: client.get("/health").json()["status"] == "degraded")
            eventually(lambda: _in_alarm(client.get("/metrics").text))
        label = monitors(service)[0]["bundle"]

    with ServiceProcess(bundles / "one", tmp_path / "data", **settings) as service:
        assert {one["reason"] for one in answers(service, image, 6)} == {"suspended"}
        with admin(service) as owner:
            kept = owner.get("/promise").json()["bundles"]
            assert [one["bundle"] for one in kept if one["alarms"]] == [label]
            body = {"name": "Ada", "reason": "the lens was cleaned"}
            assert owner.post(f"/promise/{label}/reset", json=body).status_code == 200
        eventually(lambda: {one["decision"] for one in answers(service, image, 6)} == {"answer"})
        eventually(lambda: not any(one["suspended"] for one in monitors(service)))
        with admin(service) as owner:
            (kept,) = owner.get("/promise").json()["bundles"]
            assert [(one["name"], one["reason"]) for one in kept["resets"]] == [
                ("Ada", "the lens was cleaned")
            ]


def test_the_bundle_before_returns_by_itself_once_whatever_becomes_of_the_store(
    bundles: Path, tmp_path: Path, image: bytes
) -> None:
    settings = {**WATCHED, "on_broken_promise": "previous"}
    with ServiceProcess(bundles / "one", tmp_path / "data", **settings) as service, admin(service) as owner:
        assert owner.post("/bundles/two/activate").status_code == 200
        # A bundle begins with the first whole second after its activation.
        time.sleep(1.0)
        break_the_promise(service, image)
        eventually(lambda: owner.get("/bundles").json()["active"] == "one")
        given: list[dict[str, Any]] = []

        def returned() -> bool:
            given.extend(answers(service, image, 6))
            return {one["bundle"]["name"] for one in given[-6:]} == {"tiny"}

        eventually(returned)
        # Now the other one as well, so that none is left to roll back to. The monitor stops at an audit
        # without a label, so each answer gets one.
        time.sleep(1.0)
        given += answers(service, image, 12)
        answered = [one for one in given if one["decision"] == "answer"]
        label_all(service, answered, wrong=True)

        def suspended() -> bool:
            given.extend(answers(service, image, 8))
            return {one["reason"] for one in given[-8:]} == {"suspended"}

        # An answer before the alarm would hold the monitor, so /health is asked first.
        eventually(lambda: any(one["suspended"] for one in monitors(service)))
        eventually(suspended)
        eventually(lambda: figures(service, owner)["predictions"] == 12 + len(given))
        before = figures(service, owner)
        assert before["labelled"] == 12 + len(answered)
        for _ in disturbed_store(service, tmp_path / "data"):
            assert owner.get("/bundles").json()["active"] == "one"
            assert all(one["suspended"] for one in monitors(service))
            # An answer in between is an event too, which the store gets afterwards.
            assert {one["reason"] for one in answers(service, image, 2)} == {"suspended"}
            assert figures(service, owner)["alarms"] == before["alarms"]
        expected = {**before, "predictions": before["predictions"] + 6}
        eventually(lambda: figures(service, owner) == expected)
        assert [line["event"] for line in service.logs()].count("promise_rolled_back") == 1


def _in_alarm(metrics: str) -> bool:
    return any('signal="broken"} 1.0' in line for line in metrics.splitlines() if "promise_alarm" in line)


def figures(service: ServiceProcess, owner: httpx.Client) -> dict[str, Any]:
    """What has been counted and what has been concluded; a count is -1 while the store is away."""
    with service.client() as client:
        answer = client.get("/rolling")
    windows = answer.json()["total"] if answer.is_success else {}
    return {
        "predictions": windows.get("predictions", -1),
        "labelled": windows.get("labelled", -1),
        "alarms": {one["bundle"]: one["alarms"] for one in owner.get("/promise").json()["bundles"]},
    }


def disturbed_store(service: ServiceProcess, folder: Path) -> Iterator[None]:
    """Stops while the store is paused, after it was killed, and after it was emptied."""
    (server,) = service.descendants(running=b"valkey-server")
    os.kill(server, signal.SIGSTOP)
    yield
    os.kill(server, signal.SIGCONT)
    os.kill(server, signal.SIGKILL)
    yield
    eventually(lambda: service.descendants(running=b"valkey-server") not in ([], [server]))
    store = connect(f"unix://{folder / 'valkey' / 'valkey.sock'}")
    eventually(lambda: _answers(store))
    store.flushall()
    store.close()
    yield


def _answers(store: redis.Redis) -> bool:
    try:
        return bool(store.ping())
    except redis.RedisError:
        return False


def test_open_labels_suspend_nothing(bundles: Path, tmp_path: Path, image: bytes) -> None:
    settings = {**WATCHED, "on_broken_promise": "abstain", "workers": 1}
    del settings["feedback_tokens"]
    with ServiceProcess(bundles / "one", tmp_path / "data", **settings) as service:
        break_the_promise(service, image)
        eventually(lambda: "promise is broken" in monitors(service)[0]["sentence"])
        time.sleep(1.5)
        assert {one["decision"] for one in answers(service, image, 3)} == {"answer"}
        assert "so nothing was done by itself" in monitors(service)[0]["sentence"]


def test_a_bundle_without_an_earlier_one_stays_suspended(bundles: Path, tmp_path: Path, image: bytes) -> None:
    settings = {**WATCHED, "on_broken_promise": "previous"}
    with ServiceProcess(bundles / "one", tmp_path / "data", **settings) as service:
        break_the_promise(service, image)
        eventually(lambda: all(one["suspended"] for one in monitors(service)))
        eventually(lambda: any(line["event"] == "promise_not_rolled_back" for line in service.logs()))
        eventually(lambda: {one["reason"] for one in answers(service, image, 4)} == {"suspended"})
