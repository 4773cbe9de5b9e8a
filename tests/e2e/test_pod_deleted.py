"""A pod is deleted while the store is away, and the next one starts with its data folder or without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.service_process import ServiceProcess
from fakes.waiting import eventually

from monitoring.store.embedded_valkey import EmbeddedValkey

JPEG = {"Content-Type": "image/jpeg"}
BEFORE, AWAY = 20, 30
"""Requests before the store goes away, and until the pod is deleted; a label follows each."""


def send(service: ServiceProcess, image: bytes, start: int, stop: int) -> None:
    with service.client() as client:
        for number in range(start, stop):
            headers = {**JPEG, "X-Request-Id": f"r{number}"}
            assert client.post("/predict", content=image, headers=headers).status_code == 200
            body = {"request_id": f"r{number}", "label": 1}
            assert client.post("/feedback", json=body).status_code == 202


def counts(service: ServiceProcess) -> tuple[int, int]:
    """(predictions, labelled) of the store; (0, 0) while it does not answer."""
    with service.client() as client:
        answer = client.get("/rolling")
        body = answer.json() if answer.status_code == 200 else {}
        return body.get("predictions", 0), body.get("labelled", 0)


def dropped(service: ServiceProcess) -> float:
    with service.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("demur_events_dropped_total{")
    )


@pytest.mark.parametrize("persistent", [True, False], ids=["persistent", "data-goes-with-the-pod"])
def test_what_is_kept_and_what_is_said(
    persistent: bool, tiny_bundle: Path, tmp_path: Path, make_colour_image: Callable[..., bytes]
) -> None:
    """With the private port, as in a pod. The store keeps its data; only its address does not answer."""
    image = make_colour_image(1, 0.9)
    settings = {"redis_timeout": 0.2, "stop_timeout": 4, "admin_port": 0, "admin_token": "t" * 32}
    with ExitStack() as open_store:
        store = open_store.enter_context(EmbeddedValkey(tmp_path / "store"))
        with ServiceProcess(tiny_bundle, tmp_path / "pod", redis_url=store.url, **settings) as pod:
            send(pod, image, 0, BEFORE)
            eventually(lambda: counts(pod) == (BEFORE, BEFORE))
            open_store.close()
            send(pod, image, BEFORE, BEFORE + AWAY)
            assert pod.stop() == 0
        left = [line["count"] for line in pod.logs() if line["event"] == "events_left_for_the_next_start"]
    assert left == [2 * AWAY]
    with EmbeddedValkey(tmp_path / "store") as store:
        folder = tmp_path / ("pod" if persistent else "another-pod")
        with ServiceProcess(tiny_bundle, folder, redis_url=store.url, **settings) as successor:
            expected = BEFORE + AWAY if persistent else BEFORE
            eventually(lambda: counts(successor) == (expected, expected))
            send(successor, image, BEFORE + AWAY, BEFORE + AWAY + 1)
            eventually(lambda: counts(successor) == (expected + 1, expected + 1))
            assert dropped(successor) == 0
