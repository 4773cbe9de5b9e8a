"""The whole way of an alert, in real programs: service, Prometheus, Alertmanager, receiver."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.http_receiver import HttpReceiver, answers, http_receiver
from fakes.programs import installed
from fakes.quick_alerting import quick_alertmanager, quick_prometheus
from fakes.service_process import ServiceProcess
from fakes.waiting import eventually
from harness.processes import command
from harness.prometheus import MonitoringServer

JPEG = {"Content-Type": "image/jpeg"}
LINT = "demur_window_stage_b metric names should not contain abbreviated units"
"""What promtool takes for bytes"""


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tiny_bundle, tmp_path_factory.mktemp("service"), redis_timeout=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver(answers()) as running:
        yield running


@pytest.fixture(scope="module")
def chain(
    service: ServiceProcess, receiver: HttpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MonitoringServer]:
    """The Prometheus that watches the service and tells `receiver` by way of an Alertmanager."""
    folder = tmp_path_factory.mktemp("chain")
    with (
        quick_alertmanager(folder / "alertmanager", receiver.url) as alertmanager,
        quick_prometheus(
            folder / "prometheus", service.url.removeprefix("http://"), alertmanager.address
        ) as watching,
    ):
        eventually(lambda: beats(receiver) > 0)
        yield watching


def beats(receiver: HttpReceiver) -> int:
    return sum(request.path == "/heartbeat" for request in receiver.requests)


def told(receiver: HttpReceiver, of: str, status: str, path: str = "/team") -> list[dict[str, str]]:
    """Annotations of the alerts of one name and status that have arrived."""
    return [
        alert["annotations"]
        for request in list(receiver.requests)
        if request.path == path
        for alert in request.json()["alerts"]
        if (alert["labels"]["alertname"], alert["status"]) == (of, status)
    ]


def store_of(service: ServiceProcess) -> int:
    (pid,) = [pid for pid in service.descendants() if "valkey-server" in command(pid)]
    return pid


def test_promtool_takes_what_the_service_shows(
    service: ServiceProcess, make_colour_image: Callable[..., bytes]
) -> None:
    with service.client() as client:
        client.post("/predict", content=make_colour_image(1, 0.9), headers=JPEG)
        shown = client.get("/metrics").text
    done = subprocess.run(
        [installed("promtool"), "check", "metrics"], input=shown, capture_output=True, text=True, check=False
    )
    assert set(done.stderr.splitlines()) <= {LINT}


def test_a_fault_is_told_and_its_end_too(
    service: ServiceProcess, receiver: HttpReceiver, chain: MonitoringServer
) -> None:
    """The store is stopped, so that it neither answers nor refuses, and goes on."""
    store = store_of(service)
    os.kill(store, signal.SIGSTOP)
    try:
        eventually(lambda: bool(told(receiver, "DemurStoreAway", "firing")))
    finally:
        os.kill(store, signal.SIGCONT)
    (said, *_) = told(receiver, "DemurStoreAway", "firing")
    assert said["summary"] == f"The store of {service.url.removeprefix('http://')} does not answer"
    assert said["runbook_url"].endswith("/runbooks/store-away.html")
    eventually(lambda: bool(told(receiver, "DemurStoreAway", "resolved")))


def test_a_killed_service_reaches_who_is_on_call(
    tiny_bundle: Path,
    tmp_path: Path,
    service: ServiceProcess,
    receiver: HttpReceiver,
    chain: MonitoringServer,
) -> None:
    os.kill(service.process.pid, signal.SIGKILL)
    eventually(lambda: bool(told(receiver, "DemurDown", "firing", "/on-call")))
    assert told(receiver, "DemurDown", "firing") == []
    with ServiceProcess(tiny_bundle, tmp_path / "service", port=service.address[1]):
        eventually(lambda: bool(told(receiver, "DemurDown", "resolved", "/on-call")))


def test_the_heartbeat_ends_with_prometheus(receiver: HttpReceiver, chain: MonitoringServer) -> None:
    """Alertmanager forgets an alert that is not sent any more; the last message does not say resolved."""
    before = beats(receiver)
    eventually(lambda: beats(receiver) > before + 1)
    chain.kill()
    quiet_since, last = time.monotonic(), beats(receiver)

    def is_quiet() -> bool:
        nonlocal quiet_since, last
        if beats(receiver) != last:
            quiet_since, last = time.monotonic(), beats(receiver)
        return time.monotonic() - quiet_since > 5

    eventually(is_quiet)
    assert told(receiver, "DemurWatchdog", "firing", "/heartbeat")
    assert told(receiver, "DemurWatchdog", "resolved", "/heartbeat") == []
