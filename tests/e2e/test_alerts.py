"""Alerts of the real service: who is told of a broken promise, what people do with it, what a kill loses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.http_receiver import HttpReceiver, Received, answers, http_receiver
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
ADMIN = "a-token-of-the-tests-0123456789"
SENDER = "a-sender-of-the-tests-0123456789"
RULES = """
people: {ada: {}, ben: {}}
channels:
  first: {kind: webhook, url: "${ALERT_URL}/first", secret: "${ALERT_SECRET}"}
  second: {kind: webhook, url: "${ALERT_URL}/second", secret: "${ALERT_SECRET}"}
ladders:
  duty:
    steps:
      - {person: ada, channel: first}
      - {wait: 1h, person: ben, channel: second}
defaults: {ladder: duty}
heartbeat: {url: "${ALERT_URL}/alive", every: 5s}
rules:
  - {name: broken, signal: promise_broken, above: 0.5, severity: critical, resolve_after: 2s, action: Look.}
  - {name: away, signal: store_away, above: 0.5, for: 4s, resolve_after: 2s}
"""
SETTINGS: dict[str, Any] = {
    "cores": 1,
    "admin_port": 0,
    "admin_token": ADMIN,
    "feedback_tokens": f"tests={SENDER}",
    "audit_share": 1.0,
}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    with http_receiver(answers()) as one:
        monkeypatch.setenv("ALERT_URL", one.url)
        monkeypatch.setenv("ALERT_SECRET", "a-secret-of-the-tests")
        yield one


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "alerts.yaml").write_text(RULES)
    return {**SETTINGS, "alerts": str(tmp_path / "alerts.yaml")}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "bundles" / "one")
    return tmp_path / "bundles" / "one"


def admin(service: ServiceProcess) -> httpx.Client:
    return service.admin(ADMIN)


def break_the_promise(service: ServiceProcess, image: bytes) -> None:
    with service.client() as client:
        given = [client.post("/predict", content=image, headers=JPEG).json() for _ in range(12)]
        labels = [{"request_id": one["request_id"], "label": 1 - one["label"]} for one in given]
        bearer = {"Authorization": f"Bearer {SENDER}"}
        assert client.post("/feedback/batch", json={"labels": labels}, headers=bearer).is_success


def messages(receiver: HttpReceiver) -> list[Received]:
    """What came, without the heartbeats."""
    return [one for one in receiver.requests if one.path != "/alive"]


def kinds(receiver: HttpReceiver, rule: str = "broken") -> list[str]:
    """Kind and place of each message about a rule; one that came twice, as after a kill, counts once."""
    told = {(one.headers["Idempotency-Key"], one.path): one.json() for one in messages(receiver)}
    return [f"{body['kind']} {path}" for (_, path), body in told.items() if body["alerts"][0]["rule"] == rule]


def states(owner: httpx.Client) -> dict[str, str]:
    return {one["rule"]: one["state"] for one in owner.get("/alerts").json()["alerts"]}


def test_a_broken_promise_is_told_acknowledged_escalated_and_resolved(
    bundle: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    receiver: HttpReceiver,
    make_colour_image: Images,
) -> None:
    image = make_colour_image(1, 0.9)
    with ServiceProcess(bundle, tmp_path / "data", workers=2, **settings) as service, admin(service) as owner:
        break_the_promise(service, image)
        eventually(lambda: kinds(receiver) == ["firing /first"])
        (line,) = messages(receiver)[0].json()["alerts"]
        assert line["bundle"].startswith("tiny:")
        assert "The promise is broken" in line["text"]
        assert (line["action"], line["n"]) == ("Look.", 12)

        (alert,) = owner.get("/alerts").json()["alerts"]
        path = f"/alerts/{alert['fingerprint']}"
        assert owner.post(f"{path}/acknowledge", json={"name": "Ada", "reason": "I look at it"}).is_success
        eventually(lambda: states(owner)["broken"] == "acknowledged")
        assert owner.post(f"{path}/escalate", json={"name": "Ada", "reason": "Ben knows more"}).is_success
        eventually(lambda: states(owner)["broken"] == "escalated")
        (alert,) = owner.get("/alerts").json()["alerts"]
        assert [(act["kind"], act["name"]) for act in alert["acts"]] == [
            ("acknowledge", "Ada"),
            ("escalate", "Ada"),
        ]
        eventually(lambda: "escalated /second" in kinds(receiver))
        with service.client() as client:
            assert "alerts" in client.get("/health").json()
            eventually(lambda: 'demur_alerts{rule="broken"' in client.get("/metrics").text)

        body = {"name": "Ada", "reason": "the labels were wrong"}
        assert owner.post(f"/promise/{alert['labels']['bundle']}/reset", json=body).is_success
        eventually(lambda: len(kinds(receiver)) == 4)
        assert sorted(kinds(receiver)[2:]) == ["resolved /first", "resolved /second"]
        assert "The promise is broken" in messages(receiver)[-1].json()["alerts"][0]["text"]
        eventually(lambda: states(owner)["broken"] == "resolved")
        assert owner.post(f"{path}/acknowledge", json=body).status_code == 409
    ids = [one.headers["Idempotency-Key"] for one in messages(receiver)]
    assert len(set(ids)) == len(ids)
    alive = [one.json()["evaluated_at"] for one in receiver.requests if one.path == "/alive"]
    assert alive
    assert len(set(alive)) == len(alive)


def test_a_worker_that_is_killed_loses_and_repeats_nothing(
    bundle: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    receiver: HttpReceiver,
    make_colour_image: Images,
) -> None:
    with ServiceProcess(bundle, tmp_path / "data", workers=2, **settings) as service:
        break_the_promise(service, make_colour_image(1, 0.9))
        eventually(lambda: kinds(receiver) == ["firing /first"])
        for pid in _workers(service):
            os.kill(pid, signal.SIGKILL)
        with admin(service) as owner:
            (alert,) = owner.get("/alerts").json()["alerts"]
            name = {"name": "Ada", "reason": "the labels were wrong"}
            assert owner.post(f"/promise/{alert['labels']['bundle']}/reset", json=name).is_success
            eventually(lambda: states(owner)["broken"] == "resolved")
        eventually(lambda: len(kinds(receiver)) >= 2)
    assert kinds(receiver) == ["firing /first", "resolved /first"]


def test_a_store_that_dies_is_told_and_returns_and_no_other_alarm_is_false(
    bundle: Path, tmp_path: Path, settings: dict[str, Any], receiver: HttpReceiver
) -> None:
    with ServiceProcess(bundle, tmp_path / "data", **settings) as service, admin(service) as owner:
        eventually(lambda: owner.get("/alerts").json()["evaluated_at"] is not None)
        (store,) = [pid for pid in service.descendants() if "valkey" in _command(pid)]
        os.kill(store, signal.SIGSTOP)
        eventually(lambda: kinds(receiver, "away") == ["firing /first"])
        (alert,) = [one for one in owner.get("/alerts").json()["alerts"] if one["rule"] == "away"]
        who = {"name": "Ada", "reason": "I look at it"}
        assert owner.post(f"/alerts/{alert['fingerprint']}/acknowledge", json=who).is_success
        eventually(lambda: states(owner)["away"] == "acknowledged")
        os.kill(store, signal.SIGCONT)
        eventually(lambda: kinds(receiver, "away") == ["firing /first", "resolved /first"])
        assert {one["rule"] for one in owner.get("/alerts").json()["alerts"]} == {"away"}
        held = owner.get("/alerts").json()["alerts"][0]
        assert [act["name"] for act in held["acts"]] == ["Ada"]


def test_silences_and_bad_input(
    bundle: Path, tmp_path: Path, settings: dict[str, Any], receiver: HttpReceiver, make_colour_image: Images
) -> None:
    with ServiceProcess(bundle, tmp_path / "data", **settings) as service, admin(service) as owner:
        wanted = {"matchers": {"rule": "bro*"}, "lasts": "2h", "name": "Ada", "reason": "we try it out"}
        made = owner.post("/silences", json=wanted).json()
        eventually(lambda: [one["in_force"] for one in owner.get("/silences").json()["silences"]] == [True])
        break_the_promise(service, make_colour_image(1, 0.9))
        eventually(lambda: states(owner).get("broken") == "firing")
        assert owner.get("/alerts").json()["alerts"][0]["silenced_by"] == [made["id"]]
        assert kinds(receiver) == []
        who = {"name": "Ada", "reason": "done"}
        assert owner.request("DELETE", f"/silences/{made['id']}", json=who).is_success
        eventually(lambda: [one["ended_by"] for one in owner.get("/silences").json()["silences"]] == ["Ada"])
        eventually(lambda: kinds(receiver) == ["silence-ended /first"])

        for path, body, status, field in (
            ("/alerts/nothing/acknowledge", who, 404, "fingerprint"),
            ("/alerts/nothing/acknowledge", {"name": "Ada"}, 422, "reason"),
            ("/silences", {**wanted, "lasts": "for ever"}, 422, "lasts"),
            ("/silences", {**wanted, "lasts": "900d"}, 422, "lasts"),
            ("/silences", {**wanted, "matchers": {}}, 422, "matchers"),
            ("/silences", {**wanted, "colour": "red"}, 422, "colour"),
        ):
            refused = owner.post(path, json=body)
            assert (refused.status_code, refused.json()["field"]) == (status, field), refused.text
        assert owner.request("DELETE", "/silences/nothing", json=who).status_code == 404
        assert owner.get(f"/alerts/{made['id']}/acknowledge").status_code == 405
        assert httpx.get(f"{owner.base_url}/alerts", trust_env=False).status_code == 401


def _workers(service: ServiceProcess) -> list[int]:
    return [pid for pid in service.descendants() if "spawn_main" in _command(pid)]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
