"""GET /live over a real socket: what is sent, and clients that do not read, leave, or are too many."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
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
    with httpx.stream("GET", f"{service.url}/live", timeout=150) as answer:
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
    # Listeners that do not read are ended with it.
    assert service.stop() == 0
    for connection in silent:
        connection.close()


def test_head_is_answered_at_once(service: ServiceProcess) -> None:
    answer = httpx.head(f"{service.url}/live", timeout=150)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


class Listener(threading.Thread):
    """Listens to /live as a browser does: again after each end, until the service is gone."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.ends = 0
        self.seen: list[int] = []
        """Predictions of each message with figures"""

    def run(self) -> None:
        while True:
            try:
                with httpx.stream("GET", f"{self._url}/live", timeout=150, trust_env=False) as answer:
                    for name, data in events(answer.iter_lines()):
                        if name == "rolling":
                            self.seen.append(data["total"]["predictions"])
            except httpx.ConnectError:
                return
            except httpx.HTTPError:
                pass  # Its worker was killed.
            self.ends += 1


def test_listeners_of_several_workers_see_no_figure_go_back_and_end_with_the_service(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    image, headers = make_colour_image(1, 0.9), {"Content-Type": "image/jpeg"}
    service = ServiceProcess(tiny_bundle, tmp_path / "workers", workers=2, cores=1)
    with service, service.client(every_worker=True) as client:
        listeners = [Listener(service.url) for _ in range(6)]
        for one in listeners:
            one.start()

        def all_see(count: int) -> bool:
            return all(one.seen and one.seen[-1] == count for one in listeners)

        for _ in range(10):
            client.post("/predict", content=image, headers=headers)
        eventually(lambda: all_see(10))
        victim = service.descendants(running=b"spawn_main")[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: victim not in service.descendants())
        eventually(lambda: client.post("/predict", content=image, headers=headers).status_code == 200)
        eventually(lambda: all_see(11))
        assert service.stop() == 0
        for one in listeners:
            one.join(150.0)
        assert not any(one.is_alive() for one in listeners)
    for one in listeners:
        assert one.seen == sorted(one.seen)
