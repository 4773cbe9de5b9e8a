"""Three trials under full load: long, with changing bundles, and with stops and restarts."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness import processes
from harness.clients import Clients, Tally
from harness.memory import MemoryWatch, role_of
from harness.servers import DEMUR, Framework, Launch, RunningServer, ServerFailed, Stop, running, start

_TOKEN = "a-token-of-the-benchmark-0123456789"
_SETTLE = 15.0
"""Seconds allowed for the last events to arrive."""

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Events:
    """Events that clients caused, and events that the store and the metrics counted."""

    predictions_sent: int
    predictions_counted: int
    labels_sent: int
    labels_counted: int
    dropped: int

    @property
    def all_there(self) -> bool:
        sent = (self.predictions_sent, self.labels_sent)
        return sent == (self.predictions_counted, self.labels_counted) and self.dropped == 0


@dataclass(frozen=True, slots=True)
class Stored:
    """Predictions of the champion in the store, and those with a label."""

    predictions: int
    labelled: int


@dataclass(frozen=True, slots=True)
class Soak:
    """Result of a long full load."""

    tally: Tally
    seconds: float
    memory: dict[str, np.ndarray]
    """Process -> float64 [n, 2] of seconds and megabytes"""
    events: Events
    stored: Stored
    """Content of the windows"""


@dataclass(slots=True)
class Reloads:
    """Result of bundle changes under load."""

    tally: Tally
    seconds: list[float] = field(default_factory=list)
    """Seconds from each order to its answer"""
    workers_mb: list[float] = field(default_factory=list)
    """Mean resident megabytes of a worker after each change"""
    events: Events | None = None


@dataclass(slots=True)
class Stops:
    """Result of stops under load."""

    server: str
    tally: Tally
    stops: list[Stop] = field(default_factory=list)
    restart_seconds: list[float] = field(default_factory=list)
    counted: int | None = None
    """Predictions in the store after the last restart; None for a peer."""


def soak(
    bundle: Path,
    images: Sequence[bytes],
    scratch: Path,
    cores: Sequence[int],
    *,
    workers: int,
    clients: int,
    seconds: float,
    step: Step,
) -> Soak:
    """Send predictions and their labels as fast as the service answers."""
    launch = Launch(bundle, scratch / "soak", processes.free_ports(1)[0], workers)
    with running(DEMUR, launch, cores) as server, MemoryWatch(server) as memory:
        with Clients(server.address, images, clients, feedback=True) as load:
            for _ in range(max(1, round(seconds))):
                time.sleep(seconds / max(1, round(seconds)))
                step("full load")
        events = _events(server, load.tally)
        stored = _stored(server, Stored(load.tally.answered, load.tally.labelled))
    return Soak(load.tally, seconds, memory.series(), events, stored)


def reload_under_load(
    bundles: Sequence[Path],
    images: Sequence[bytes],
    scratch: Path,
    cores: Sequence[int],
    *,
    workers: int,
    clients: int,
    times: int,
    pause: float,
    step: Step,
) -> Reloads:
    """Activate the bundles, folders side by side, in turn, with `pause` seconds after each change."""
    port, admin = processes.free_ports(2)
    launch = Launch(
        bundles[0],
        scratch / "reloads",
        port,
        workers,
        extra={"DEMUR_ADMIN_PORT": str(admin), "DEMUR_ADMIN_TOKEN": _TOKEN},
    )
    with running(DEMUR, launch, cores) as server:
        with Clients(server.address, images, clients, feedback=True) as load:
            found = Reloads(load.tally)
            time.sleep(pause)
            for turn in range(times):
                found.seconds.append(_activate(admin, bundles[(turn + 1) % len(bundles)].name))
                time.sleep(pause)
                weights = [
                    processes.resident_mb(pid) for pid in server.tree() if role_of(pid, server) == "worker"
                ]
                found.workers_mb.append(float(np.mean(weights)))
                step("reloads")
        found.events = _events(server, load.tally)
    return found


def stop_under_load(
    framework: Framework,
    bundle: Path,
    images: Sequence[bytes],
    scratch: Path,
    cores: Sequence[int],
    *,
    workers: int,
    clients: int,
    times: int,
    pause: float,
    step: Step,
) -> Stops:
    """Send SIGTERM after `pause` seconds of load and restart on the same port, so many times.

    Clients run all the time; while the port is closed, they retry.
    """
    launch = Launch(bundle, scratch / f"stops-{framework.name}", processes.free_ports(1)[0], workers)
    server = start(framework, launch, cores)
    try:
        with Clients(server.address, images, clients) as load:
            found = Stops(framework.name, load.tally)
            for _ in range(times):
                time.sleep(pause)
                found.stops.append(server.stop())
                server = start(framework, launch, cores)
                found.restart_seconds.append(server.start_seconds)
                step(f"{framework.name}: stops")
            time.sleep(pause)
        if framework is DEMUR:
            # This trial sends no labels.
            found.counted = _stored(server, Stored(found.tally.answered, 0)).predictions
    finally:
        server.stop()
    return found


def _activate(port: int, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=130)
    began = time.perf_counter()
    connection.request("POST", f"/bundles/{name}/activate", headers={"Authorization": f"Bearer {_TOKEN}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise ServerFailed(f"the bundle {name} was not activated: {answer.status} {body.decode()}")
    return time.perf_counter() - began


def _events(server: RunningServer, tally: Tally) -> Events:
    """Wait until every event is delivered, or for some seconds."""
    give_up = time.monotonic() + _SETTLE
    while True:
        text = server.get("/metrics")[1].decode()
        events = Events(
            predictions_sent=tally.answered,
            predictions_counted=_sum(text, 'demur_events_delivered_total{kind="prediction"'),
            labels_sent=tally.labelled,
            labels_counted=_sum(text, 'demur_events_delivered_total{kind="feedback"'),
            dropped=_sum(text, "demur_events_dropped_total"),
        )
        if events.all_there or time.monotonic() > give_up:
            return events
        time.sleep(0.1)


def _stored(server: RunningServer, expected: Stored) -> Stored:
    """Wait until the store has as many as expected, or for some seconds."""
    give_up = time.monotonic() + _SETTLE
    while True:
        status, body = server.get("/rolling")
        rolling = json.loads(body) if status == 200 else {"predictions": 0, "labelled": 0}
        stored = Stored(rolling["predictions"], rolling["labelled"])
        if stored == expected or time.monotonic() > give_up:
            return stored
        time.sleep(0.1)


def _sum(metrics: str, prefix: str) -> int:
    lines = re.findall(rf"^{re.escape(prefix)}.* (\S+)$", metrics, re.MULTILINE)
    return round(sum(float(value) for value in lines))
