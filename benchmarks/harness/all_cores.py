"""N workers on N cores beside N raw processes; and the shadow's effect on the answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from demur.profile.load import Load, requests_for
from harness import processes
from harness.apart import LoadGenerator, RawLoop
from harness.figures import Measured, Subject, Target
from harness.servers import DEMUR, Launch, RunningServer, running

WORKERS, SHADOW = "all cores", "shadow"
WORKERS_COLUMNS = ("share_of_raw", "share_of_rest", "rate", "raw_rate", "p99", "resident_worker")
SHADOW_COLUMNS = ("p50", "p99", "rate", "server_cpu")
CLIENTS_A_WORKER = 8
_LOADED = 0.5
"""Share of the raw rate at which the shadow is tried: cores are free between the answers."""


def worker_targets(model: str, cores: int) -> list[Target]:
    subject = Subject(WORKERS, model, DEMUR.name, cores * CLIENTS_A_WORKER)
    return [
        Target(subject, "share_of_rest", "at least", 0.95),
        Target(subject, "resident_worker", "at most", 250.0),
    ]


def measure_workers(
    model: str,
    bundle: Path,
    images: Sequence[bytes],
    measured: Measured,
    scratch: Path,
    *,
    runs: int,
    seconds: float,
    step: Callable[[str], None],
) -> None:
    """A worker a core against a raw process a core, in turn.

    The load generator needs a little of the same cores: `share_of_raw` counts that against the service,
    `share_of_rest` compares with what the raw processes would do in the CPU time left over.
    """
    cores = sorted(os.sched_getaffinity(0))
    clients = CLIENTS_A_WORKER * len(cores)
    requests = requests_for(images)
    with ExitStack() as stack:
        loops = [stack.enter_context(RawLoop([core], bundle, images)) for core in cores]
        load = stack.enter_context(LoadGenerator(cores))
        launch = Launch(bundle, scratch / f"{model}-workers", processes.free_ports(1)[0], len(cores))
        server = stack.enter_context(running(DEMUR, launch, cores))
        load.run(server.address, requests, clients, 1.0)
        for _ in range(runs):
            step(f"{model}: {len(cores)} workers")
            for loop in loops:
                loop.order(seconds)
            raw_rate = sum(loop.result().per_second for loop in loops)
            own = load.cpu_seconds()
            answered = load.run(server.address, requests, clients, seconds)
            taken = (load.cpu_seconds() - own) / (answered.seconds * len(cores))
            measured.add(
                Subject(WORKERS, model, DEMUR.name, clients),
                share_of_raw=answered.per_second / raw_rate,
                share_of_rest=answered.per_second / (raw_rate * (1.0 - taken)),
                rate=answered.per_second,
                raw_rate=raw_rate,
                p99=float(np.percentile(answered.latencies, 99)),
                resident_worker=max(processes.resident_mb(pid) for pid in _workers(server)),
            )


def _workers(server: RunningServer) -> list[int]:
    return [pid for pid in server.tree() if "spawn_main" in processes.command(pid)]


def measure_shadow(
    model: str,
    bundle: Path,
    images: Sequence[bytes],
    measured: Measured,
    scratch: Path,
    *,
    runs: int,
    seconds: float,
    step: Callable[[str], None],
) -> None:
    """/predict with and without the same bundle as a challenger in the shadow, on one core, in turn.

    At random arrivals of half the raw rate, where the shadow finds time to compute; and with eight
    clients that leave it none, where it must be shed.
    """
    server_core, client_core = sorted(os.sched_getaffinity(0))[:2]
    requests = requests_for(images)
    shadowed = {"DEMUR_CHALLENGERS": f"{bundle}=shadow"}
    with ExitStack() as stack:
        raw = stack.enter_context(RawLoop([server_core], bundle, images))
        load = stack.enter_context(LoadGenerator([client_core]))
        servers = {}
        for name, extra in (("demur", {}), ("demur with a shadow", shadowed)):
            launch = Launch(
                bundle, scratch / f"{model}-{len(servers)}-shadow", processes.free_ports(1)[0], extra=extra
            )
            servers[name] = stack.enter_context(running(DEMUR, launch, [server_core]))
            load.run(servers[name].address, requests, 8, 1.0)
        rate = _LOADED * raw.run(seconds / 2).per_second
        for run in range(runs):
            step(f"{model}: shadow")
            for name in sorted(servers, reverse=run % 2 == 1):
                server = servers[name]
                before = server.cpu_seconds()
                answered = load.run_arrivals(server.address, requests, rate, seconds)
                _add_latency(measured, Subject(SHADOW, model, name, 0), answered, server, before)
                before = server.cpu_seconds()
                answered = load.run(server.address, requests, 8, seconds)
                _add_latency(measured, Subject(SHADOW, model, name, 8), answered, server, before)


def _add_latency(
    measured: Measured, subject: Subject, load: Load, server: RunningServer, cpu_before: float
) -> None:
    p50, p99 = (float(value) for value in np.percentile(load.latencies, (50, 99)))
    cpu = 1e3 * (server.cpu_seconds() - cpu_before) / len(load.latencies)
    measured.add(subject, p50=p50, p99=p99, rate=load.per_second, server_cpu=cpu)
