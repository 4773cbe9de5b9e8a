"""Efficiency of the service with all that watches it, beside the same service without.

    python benchmarks/watching_cost.py [--runs 9] [--seconds 4] [--models tiny,small] [--record [FOLDER]]

Three services on one core answer in turn, each after a run of the raw loop: *all on* draws audits (.05),
watches promise and drift, keeps events and windows, and writes its log; *events* does without audits and
drift; *nothing* has no store and no events either, and logs warnings alone. The difference is that of each
run, so that what else the machine does meets all three. Needs Linux and two cores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from harness import processes
from harness.figures import Measured, Subject
from harness.models import MODELS, write_model_bundle
from harness.options import names_among
from harness.photographs import photographs
from harness.pinned import LoadGenerator, RawLoop
from harness.record import Claim, Recording, add_record_option
from harness.servers import DEMUR, Launch, RunningServer, running
from harness.trial import Trial, usable_cores
from harness.venvs import CACHE

from trainer.run.console import RunConsole

IMAGES, HEIGHT, WIDTH, MOST_BYTES = 16, 720, 1280, 181_000
CLIENTS = 8
PART = "watching"
COLUMNS = ("efficiency", "server_cpu", "rate", "p50", "p99")
WITHIN = 0.01
EVENTS = {"DEMUR_AUDIT_SHARE": "0", "DEMUR_DRIFT_IMAGES": "0"}
SERVERS = {
    "all on": {"DEMUR_AUDIT_SHARE": "0.05"},
    "events": EVENTS,
    "nothing": {
        **EVENTS,
        "DEMUR_REDIS_URL": "off",
        "DEMUR_EVENT_LOG": "false",
        "DEMUR_LOG_LEVEL": "warning",
    },
}


def measure(trial: Trial) -> None:
    """All services in turn, `trial.runs` times; which is first changes from run to run."""
    server_core, client_core = usable_cores()[:2]
    requests = [
        request.replace(b"\r\n", b"\r\nX-Unit-Id: camera-%d\r\n" % number, 1)
        for number, request in enumerate(trial.requests)
    ]
    with ExitStack() as stack:
        raw = stack.enter_context(RawLoop([server_core], trial.bundle, trial.images))
        load = stack.enter_context(LoadGenerator([client_core]))
        servers: dict[str, RunningServer] = {}
        for name, extra in SERVERS.items():
            folder = trial.scratch / f"{trial.model} {name}"
            launch = Launch(trial.bundle, folder, processes.free_ports(1)[0], extra=extra)
            servers[name] = stack.enter_context(running(DEMUR, launch, [server_core]))
            load.run(servers[name].address, requests, CLIENTS, 1.0)
        names = list(servers)
        for run in range(trial.runs):
            for name in names[run % len(names) :] + names[: run % len(names)]:
                trial.step(f"{trial.model}: {name}")
                server = servers[name]
                limit = raw.run(trial.seconds / 2)
                before = server.cpu_seconds()
                answered = load.run(server.address, requests, CLIENTS, trial.seconds)
                cpu_ms = 1e3 * (server.cpu_seconds() - before) / len(answered.latencies)
                p50, p99 = (float(value) for value in np.percentile(answered.latencies, (50, 99)))
                trial.measured.add(
                    Subject(PART, trial.model, name, CLIENTS),
                    efficiency=limit.cpu_ms / cpu_ms,
                    server_cpu=cpu_ms,
                    rate=answered.per_second,
                    p50=p50,
                    p99=p99,
                )


def claim(measured: Measured, model: str, beside: str) -> Claim:
    """By how much the efficiency with all of it on is below that of another service, run by run."""
    ours, theirs = (
        measured.runs(Subject(PART, model, name, CLIENTS), "efficiency") for name in ("all on", beside)
    )
    lost = [other - own for own, other in zip(ours, theirs, strict=True)]
    median = statistics.median(lost)
    return Claim(
        f"efficiency lost to audits, promise and drift, beside {beside}, {model}",
        f"{median:+.4f} ({min(lost):+.4f} to {max(lost):+.4f})",
        f"at most {WITHIN:g}",
        median <= WITHIN,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one load")
    parser.add_argument("--models", type=names_among(MODELS), default=("tiny", "small"))
    add_record_option(parser)
    given = parser.parse_args()
    if len(usable_cores()) < 2:
        sys.exit("two cores are needed: one for the server, one for the load generator")
    recording = Recording.begin(given.record)
    measured, console = Measured(), RunConsole()
    images = photographs(IMAGES, HEIGHT, WIDTH, MOST_BYTES)
    with tempfile.TemporaryDirectory(prefix="watching-") as folder:
        for model in given.models:
            bundle = write_model_bundle(model, Path(folder), images, CACHE / "onnx", referenced=True)
            scratch, runs, seconds = Path(folder), given.runs, given.seconds
            measure(Trial(model, bundle, images, measured, scratch, runs, seconds, console.note))
    table = measured.table(PART, COLUMNS)
    claims = [claim(measured, model, "events") for model in given.models]
    text = "\n".join([table, *(f"{one.claim}: {one.value}, {one.target}" for one in claims)])
    console.console.print(text, markup=False, highlight=False, soft_wrap=True)
    recording.save(
        "watching-cost",
        "serving",
        "What audits, promise and drift cost the service",
        about=f"{given.runs} interleaved runs of {given.seconds:g} s at {CLIENTS} clients, on one core; "
        f"{IMAGES} cameras. *all on*: audits of .05, promise, drift, events, windows, log. *events*: without "
        "audits and drift. *nothing*: without a store and events as well, and with a log of warnings alone.",
        claims=claims,
        detail=table,
        raw=text,
    )


if __name__ == "__main__":
    main()
