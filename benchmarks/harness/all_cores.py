"""N workers on N cores compared with N raw processes, and the effect of a shadow on the answers."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from demur.profile.load import Load
from harness import processes
from harness.figures import Subject, Target
from harness.pinned import LoadGenerator, RawLoop
from harness.servers import DEMUR, Launch, RunningServer, is_worker, running
from harness.trial import Trial, usable_cores

WORKERS, SHADOW = "all cores", "shadow"
WORKERS_COLUMNS = ("share_of_raw", "share_of_rest", "rate", "raw_rate", "p99", "resident_worker")
SHADOW_COLUMNS = ("p50", "p99", "rate", "server_cpu")
CLIENTS_A_WORKER = 8
_LOADED = 0.5
"""Share of the raw rate at which the shadow is measured: cores are free between the answers."""


def worker_targets(model: str, cores: int) -> list[Target]:
    subject = Subject(WORKERS, model, DEMUR.name, cores * CLIENTS_A_WORKER)
    return [
        Target(subject, "share_of_rest", "at least", 0.95),
        Target(subject, "resident_worker", "at most", 250.0),
    ]


def measure_workers(trial: Trial) -> None:
    """One worker per core against one raw process per core, in turn.

    The load generator uses a little of the same cores: `share_of_raw` counts that against the service;
    `share_of_rest` compares with the rate of the raw processes in the remaining CPU time.
    """
    cores = usable_cores()
    clients = CLIENTS_A_WORKER * len(cores)
    requests = trial.requests
    with ExitStack() as stack:
        loops = [stack.enter_context(RawLoop([core], trial.bundle, trial.images)) for core in cores]
        load = stack.enter_context(LoadGenerator(cores))
        folder = trial.scratch / f"{trial.model}-workers"
        launch = Launch(trial.bundle, folder, processes.free_ports(1)[0], len(cores))
        server = stack.enter_context(running(DEMUR, launch, cores))
        load.run(server.address, requests, clients, 1.0)
        for _ in range(trial.runs):
            trial.step(f"{trial.model}: {len(cores)} workers")
            for loop in loops:
                loop.order(trial.seconds)
            raw_rate = sum(loop.ended().per_second for loop in loops)
            own = load.cpu_seconds()
            answered = load.run(server.address, requests, clients, trial.seconds)
            taken = (load.cpu_seconds() - own) / (answered.seconds * len(cores))
            trial.measured.add(
                Subject(WORKERS, trial.model, DEMUR.name, clients),
                share_of_raw=answered.per_second / raw_rate,
                share_of_rest=answered.per_second / (raw_rate * (1.0 - taken)),
                rate=answered.per_second,
                raw_rate=raw_rate,
                p99=float(np.percentile(answered.latencies, 99)),
                resident_worker=max(processes.resident_mb(pid) for pid in server.tree() if is_worker(pid)),
            )


def measure_shadow(trial: Trial) -> None:
    """/predict with and without the same bundle as a shadow, on one core, in turn.

    With random arrivals at half the raw rate, where the shadow finds time to compute; and with eight
    clients that leave no time, where it must be shed.
    """
    server_core, client_core = usable_cores()[:2]
    requests = trial.requests
    shadowed = {"DEMUR_CHALLENGERS": f"{trial.bundle}=shadow"}
    with ExitStack() as stack:
        raw = stack.enter_context(RawLoop([server_core], trial.bundle, trial.images))
        load = stack.enter_context(LoadGenerator([client_core]))
        servers: dict[str, RunningServer] = {}
        for name, extra in (("demur", {}), ("demur with a shadow", shadowed)):
            folder = trial.scratch / f"{trial.model}-shadow-{len(servers)}"
            launch = Launch(trial.bundle, folder, processes.free_ports(1)[0], extra=extra)
            servers[name] = stack.enter_context(running(DEMUR, launch, [server_core]))
            load.run(servers[name].address, requests, 8, 1.0)
        rate = _LOADED * raw.run(trial.seconds / 2).per_second
        for run in range(trial.runs):
            trial.step(f"{trial.model}: shadow")
            for name in sorted(servers, reverse=run % 2 == 1):
                server = servers[name]
                before = server.cpu_seconds()
                answered = load.run_arrivals(server.address, requests, rate, trial.seconds)
                _add_latency(trial, Subject(SHADOW, trial.model, name, 0), answered, server, before)
                before = server.cpu_seconds()
                answered = load.run(server.address, requests, 8, trial.seconds)
                _add_latency(trial, Subject(SHADOW, trial.model, name, 8), answered, server, before)


def _add_latency(
    trial: Trial, subject: Subject, load: Load, server: RunningServer, cpu_before: float
) -> None:
    p50, p99 = (float(value) for value in np.percentile(load.latencies, (50, 99)))
    cpu = 1e3 * (server.cpu_seconds() - cpu_before) / len(load.latencies)
    trial.measured.add(subject, p50=p50, p99=p99, rate=load.per_second, server_cpu=cpu)
