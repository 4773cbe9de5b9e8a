"""GET /live over a real socket: what is sent, and clients that do not read, leave, or are too many."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fakes.service_process import ServiceProcess
from fakes.waiting import eventually

Images = Callable[..., bytes]


@pytest.fixture
def service(tiny_bundle: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(tiny_bundle, tmp_path, live_listeners=3) as process:
        yield process


def listener(service: ServiceProcess) -> socket.socket:
    """A connection that has asked for /live and has not read yet."""
    parts = urlsplit(service.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(b"GET /live HTTP/1.1\r\nHost: demur\r\n\r\n")
    return connection


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """(name, data) of each event."""
    for line in lines:
        if line.startswith("event: "):
            yield line.removeprefix("event: "), json.loads(next(lines).removeprefix("data: "))


def test_a_listener_gets_health_and_figures_and_then_what_changes(
    service: ServiceProcess, make_colour_image: Images
) -> None:
    with httpx.stream("GET", f"{service.url}/live", timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.iter_lines())
        name, health = next(found)
        assert (name, health["status"] in ("ok", "degraded")) == ("health", True)
        assert not {"queue", "uptime_seconds"} & set(health)
        assert health["monitors"][0]["sentence"].startswith("Nothing says whether the promise holds")
        assert health["drift"]["sentence"] == "no reference: drift is off"
        while name != "rolling":
            name, rolling = next(found)
        assert rolling["predictions"] == 0
        headers = {"Content-Type": "image/jpeg"}
        httpx.post(f"{service.url}/predict", content=make_colour_image(1, 0.9), headers=headers)
        while name != "rolling" or rolling["predictions"] == 0:
            name, rolling = next(found)
        assert rolling["total"]["predictions"] == 1
        assert {"value", "low", "high"} <= set(rolling["windows"][0]["decided"]["coverage"])


def test_listeners_that_do_not_read_hold_up_nobody_and_are_bounded(
    service: ServiceProcess, make_colour_image: Images
) -> None:
    silent = [listener(service) for _ in range(3)]
    eventually(lambda: httpx.get(f"{service.url}/live").status_code == 503)
    refused = httpx.get(f"{service.url}/live")
    assert refused.json()["type"].endswith("too-many-listeners")
    assert refused.headers["retry-after"] == "30"
    headers = {"Content-Type": "image/jpeg"}
    for _ in range(20):
        answer = httpx.post(f"{service.url}/predict", content=make_colour_image(1, 0.9), headers=headers)
        assert answer.status_code == 200
    # One that leaves makes room.
    silent.pop().close()

    def is_taken() -> bool:
        with httpx.stream("GET", f"{service.url}/live") as answer:
            return answer.status_code == 200

    eventually(is_taken)
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 10
    for connection in silent:
        connection.close()


def test_head_is_answered_at_once(service: ServiceProcess) -> None:
    answer = httpx.head(f"{service.url}/live", timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
