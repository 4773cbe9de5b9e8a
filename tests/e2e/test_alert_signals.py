"""Signals of the real service, each from its cause to a message at a receiver; and rules that change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.http_receiver import HttpReceiver, answers, http_receiver
from fakes.referenced_bundle import usual_image, write_referenced_bundle
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import ABSTAINED, colour_image
from fakes.waiting import eventually

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
RULES = """
channels:
  hook: {kind: webhook, url: "${ALERT_URL}", secret: "${ALERT_SECRET}"}
ladders:
  duty: {steps: [{channel: hook}]}
defaults: {ladder: duty}
rules:
"""
OF_PREDICTIONS = """
  - {name: accuracy-low, signal: accuracy, below: 0.5, labels: {window: "10"}}
  - {name: coverage-low, signal: coverage, below: 1, labels: {window: "100"}}
  - {name: labels-missing, signal: label_coverage, below: 1}
  - {name: errors, signal: error_share, above: 0}
  - {name: latency, signal: latency, above: 0}
  - {name: drift, signal: drift, above: 0.5}
"""
OF_STORE = """
  - {name: store-away, signal: store_away, above: 0.5}
  - {name: alerts-alone, signal: alerts_without_store, above: 0.5}
  - {name: log-failing, signal: event_log_failing, above: 0.5}
  - {name: events-waiting, signal: events_waiting, above: 0}
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    with http_receiver(answers()) as one:
        monkeypatch.setenv("ALERT_URL", one.url)
        monkeypatch.setenv("ALERT_SECRET", "a-secret-of-the-tests")
        yield one


def told(receiver: HttpReceiver, kind: str = "firing") -> dict[str, dict[str, Any]]:
    """The latest line about each rule, of the messages of one kind."""
    bodies = [one.json() for one in list(receiver.requests)]
    return {line["rule"]: line for body in bodies if body["kind"] == kind for line in body["alerts"]}


def settings(folder: Path, rules: str) -> dict[str, Any]:
    (folder / "alerts.yaml").write_text(RULES + rules)
    return {"cores": 1, "alerts": str(folder / "alerts.yaml")}


def evaluated(client: httpx.Client) -> bool:
    return client.get("/health").json()["alerts"]["evaluated_at"] is not None


def predict(client: httpx.Client, image: bytes, unit: str, **headers: str) -> httpx.Response:
    return client.post("/predict", content=image, headers={**JPEG, "X-Unit-Id": unit, **headers})


def predict_all(client: httpx.Client, images: list[bytes], of: str) -> list[dict[str, Any]]:
    units = [f"{of}-{number}" for number in range(len(images))]
    with ThreadPoolExecutor(2) as pool:
        return [done.json() for done in pool.map(partial(predict, client), images, units)]


def test_what_predictions_show(tmp_path: Path, receiver: HttpReceiver) -> None:
    """Wrong labels, missing labels, abstentions, failures, waiting and images that have changed."""
    bundle = write_referenced_bundle(tmp_path / "bundle")
    # Enough room that no image is shed, however busy the machine is.
    room = {"drift_images": 1_000_000, "shadow_images": 1_000, "shadow_bytes": 10**8}
    given = {**settings(tmp_path, OF_PREDICTIONS), **room}
    with ServiceProcess(bundle, tmp_path / "data", **given) as service, service.client() as client:
        # Requests count from the first evaluation on.
        eventually(lambda: evaluated(client))
        predict_all(client, [usual_image(1_000 + number) for number in range(130)], "usual")
        predict_all(client, [colour_image(0, 0.9, number) for number in range(130)], "blue")
        while predict(client, usual_image(0), "late", **{"X-Deadline-Ms": "1"}).status_code != 504:
            pass
        for made in predict_all(client, [colour_image(0, ABSTAINED)] * 14, "unsure")[:10]:
            label = {"request_id": made["request_id"], "label": int(made["probability"] <= 0.5)}
            assert client.post("/feedback", json=label).is_success
        rules = {"accuracy-low", "coverage-low", "labels-missing", "errors", "latency", "drift"}
        eventually(lambda: told(receiver).keys() == rules)
        version = client.get("/health").json()["bundle"]["version"]
    said = told(receiver)
    # It may be told after the first label.
    assert said["accuracy-low"]["value"] == 0.0
    assert 1 <= said["accuracy-low"]["n"] <= 10
    assert said["coverage-low"]["low"] < said["coverage-low"]["value"] < said["coverage-low"]["high"]
    assert 0.0 < said["labels-missing"]["value"] < 1.0
    assert 0.0 < said["errors"]["low"] < said["errors"]["value"] < said["errors"]["high"]
    assert said["latency"]["value"] > 0.0
    assert said["drift"]["text"].startswith("drift between 160 images of val_select and the last ")
    assert said["drift"]["n"] >= 250
    for rule in ("accuracy-low", "coverage-low", "labels-missing", "drift"):
        assert said[rule]["bundle"] == f"referenced:{version}"
    for rule, page in (
        ("accuracy-low", "accuracy"),
        ("coverage-low", "promise-coverage"),
        ("errors", "errors"),
    ):
        assert said[rule]["runbook"] == f"docs/runbooks/{page}.md"
        assert said[rule]["fingerprint"]


def test_what_store_and_disk_show(
    tiny_bundle: Path, tmp_path: Path, receiver: HttpReceiver, make_colour_image: Images
) -> None:
    """A store that is away, and a data folder in which no event log can be begun."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "events").write_text("a file in the place of a folder")
    given = {**settings(tmp_path, OF_STORE), "redis_url": "redis://127.0.0.1:1", "redis_timeout": 0.5}
    with ServiceProcess(tiny_bundle, data, **given) as service, service.client() as client:
        assert predict(client, make_colour_image(1, 0.9), "camera").is_success
        eventually(
            lambda: told(receiver).keys() == {"store-away", "alerts-alone", "log-failing", "events-waiting"}
        )
    said = told(receiver)
    assert said["events-waiting"]["value"] >= 1.0
    assert all(line["labels"].keys() == {"service"} for line in said.values())
    assert [said[rule]["value"] for rule in ("store-away", "alerts-alone", "log-failing")] == [1.0] * 3


def test_a_changed_file_is_taken_by_every_worker_and_one_with_faults_is_told(
    tiny_bundle: Path, tmp_path: Path, receiver: HttpReceiver, make_colour_image: Images
) -> None:
    path = tmp_path / "alerts.yaml"

    def change(rules: str) -> None:
        # As an editor or a mount does it: never half of it.
        (tmp_path / "next").write_text(RULES + rules)
        os.replace(tmp_path / "next", path)

    given = {**settings(tmp_path, "  - {name: never, signal: latency, above: 3600}"), "workers": 2}
    with ServiceProcess(tiny_bundle, tmp_path / "data", **given) as service, service.client() as client:
        eventually(lambda: evaluated(client))
        eventually(lambda: predict(client, make_colour_image(1, 0.9), "camera").is_success)
        change("  - {name: slow, signal: latency, above: -1, for: soon}")
        eventually(lambda: told(receiver).keys() == {"rules-refused"})
        assert (
            "above is -1.0; latency (seconds) lies from 0 to any number"
            in told(receiver)["rules-refused"]["text"]
        )

        change("  - {name: slow, signal: store_away, below: 1}")
        eventually(lambda: told(receiver).keys() == {"rules-refused", "slow"})
        eventually(lambda: told(receiver, "resolved").keys() == {"rules-refused"})
        eventually(lambda: sum(line["event"] == "alert_rules_taken" for line in service.logs()) == 2)
    refused = [line for line in service.logs() if line["event"] == "alert_rules_refused"]
    assert {line["level"] for line in refused} == {"error"}
    assert "has 2 faults" in refused[0]["why"]
