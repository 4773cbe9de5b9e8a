"""A server on one core compared with the raw loop on the same core, the load generator on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demur.profile.load import Load
from harness import processes
from harness.figures import Subject, Target
from harness.pinned import LoadGenerator, RawLoop, RawRun
from harness.servers import DEMUR, Framework, Launch, RunningServer, ServerFailed, running
from harness.trial import Trial, usable_cores

PART = "one core"
CLIENTS = (8, 32)
COLUMNS = (
    "efficiency",
    "overhead",
    "rate",
    "p50",
    "p99",
    "tail",
    "health_p99",
    "resident",
    "ready",
)
_WARM_UP = 1.0


def targets(model: str, server: str) -> list[Target]:
    """Targets of a server with this model."""
    least = {"tiny": 0.97, "small": 0.90, "two-stage": 0.90}[model]
    found = []
    for clients in CLIENTS:
        subject = Subject(PART, model, server, clients)
        found.append(Target(subject, "efficiency", "at least", least))
        found.append(Target(subject, "overhead", "at most", 0.45))
    most = Subject(PART, model, server, max(CLIENTS))
    found.append(Target(most, "tail", "at most", 1.15))
    found.append(Target(most, "health_p99", "at most", 10.0))
    found.append(Target(most, "resident_worker", "at most", 250.0))
    found.append(Target(most, "ready", "at most", 2.0))
    return found


def measure_one_core(trial: Trial, frameworks: Sequence[Framework]) -> None:
    """Every server in turn, `trial.runs` times; each run starts a new process."""
    server_core, client_core = usable_cores()[:2]
    with (
        RawLoop([server_core], trial.bundle, trial.images) as raw,
        LoadGenerator([client_core]) as load,
        LoadGenerator([client_core]) as asking,
    ):
        for run in range(trial.runs):
            first = run % len(frameworks)
            for framework in (*frameworks[first:], *frameworks[:first]):
                trial.step(f"{trial.model}: {framework.name}")
                # A data folder outlives its server, so that only demur's first start times the engines.
                turn = "" if framework is DEMUR else f"-{run}"
                folder = trial.scratch / f"{trial.model}-{framework.name}{turn}"
                launch = Launch(trial.bundle, folder, processes.free_ports(1)[0])
                with running(framework, launch, [server_core]) as server:
                    _one_run(trial, server, raw, load, asking)


def _one_run(
    trial: Trial, server: RunningServer, raw: RawLoop, load: LoadGenerator, asking: LoadGenerator
) -> None:
    requests, seconds = trial.requests, trial.seconds
    load.run(server.address, requests, min(CLIENTS), _WARM_UP)
    for clients in CLIENTS:
        limit = raw.run(seconds / 2)
        before = server.cpu_seconds()
        answered = load.run(server.address, requests, clients, seconds)
        cpu_ms = 1e3 * (server.cpu_seconds() - before) / _count(answered, server)
        subject = Subject(PART, trial.model, server.framework.name, clients)
        trial.measured.add(subject, **_values(limit, answered, cpu_ms, clients))
    # A run of its own: polled without pause, /health takes CPU time that is no cost of a prediction.
    load.order_run(server.address, requests, max(CLIENTS), seconds / 2 + 0.2)
    question = f"GET {server.framework.health} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    health = asking.run(server.address, [question], 1, seconds / 2)
    load.load()
    trial.measured.add(
        Subject(PART, trial.model, server.framework.name, max(CLIENTS)),
        health_p99=float(np.percentile(health.latencies, 99)),
        resident=server.resident_mb(),
        resident_worker=max(processes.resident_mb(pid) for pid in server.tree()),
        ready=server.start_seconds,
    )


def _count(load: Load, server: RunningServer) -> int:
    if load.refused or not load.latencies:
        raise ServerFailed(
            f"{server.framework.name} answered {len(load.latencies)} requests and refused {load.refused}; "
            f"{server.said()}"
        )
    return len(load.latencies)


def _values(limit: RawRun, load: Load, cpu_ms: float, clients: int) -> dict[str, float]:
    p50, p99 = (float(value) for value in np.percentile(load.latencies, (50, 99)))
    return {
        "efficiency": limit.cpu_ms / cpu_ms,
        "overhead": cpu_ms - limit.cpu_ms,
        "raw_cpu": limit.cpu_ms,
        "server_cpu": cpu_ms,
        "rate": load.per_second,
        "p50": p50,
        "p99": p99,
        "tail": p99 / 1e3 * load.per_second / clients,
    }
