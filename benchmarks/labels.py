"""Labels through /feedback/batch: how many a second, at what cost, and whether each is counted.

    python benchmarks/labels.py [--labels 100000] [--batch 1000] [--runs 5] [--record [FOLDER]]

The service has one core, the store and the load generator the other. Predictions are entered beforehand. Then
one connection sends batches with a token: a label for every prediction, some of them twice, and some wrong
at first and corrected by a later batch. *Accepted* counts until the last 202, *counted* until the store has
every label. Counts and windows are compared with an independent recount; the exit code is 1 if they differ.
Needs Linux and two cores.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import processes
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from harness.servers import DEMUR, Launch, RunningServer, running
from harness.trial import usable_cores

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from fakes.tiny_bundle import write_tiny_bundle

from monitoring.events import PredictionEvent
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from trainer.run.console import RunConsole

MODEL, BUNDLE, TOKEN = "labels", "bench:1", "a-token-of-the-benchmark"
TARGET = 5000.0
"""Labels a second"""
ACCURACY, ANSWERED, AUDITED = 0.95, 0.75, 0.1
CORRECTED, TWICE = 0.02, 0.01
"""Shares of the labels"""
PATIENCE = 120.0
"""Seconds for the store to have every label"""
_ENTERED_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Run:
    """One run's figures."""

    accepted: float
    """Labels a second until the last answer"""
    counted: float
    """Labels a second until the store has all of them"""
    cpu: float
    """Microseconds of the service's CPU per label"""
    store_cpu: float
    """Microseconds of the store's CPU per label"""
    faults: Sequence[str]


def predictions(count: int, rng: random.Random) -> list[PredictionEvent]:
    """Events of images that were decided a moment ago, in their order."""
    began = time.time() - 60.0
    events = []
    for number in range(count):
        predicted = rng.randrange(2)
        answered = rng.random() < ANSWERED
        events.append(
            PredictionEvent(
                request_id=f"r{number}",
                bundle=BUNDLE,
                predicted=predicted,
                answer=predicted if answered else None,
                stage="A",
                confidence=1.0,
                probability=0.9 if predicted else 0.1,
                at=began + 50.0 * number / count,
                audit=answered and rng.random() < AUDITED,
                reason=None if answered else "ambiguous",
                draw=rng.random(),
                audit_probability=AUDITED if answered else None,
            )
        )
    return events


def truth(events: Sequence[PredictionEvent], rng: random.Random) -> dict[str, int]:
    """Request id -> true label."""
    return {one.request_id: one.predicted if rng.random() < ACCURACY else 1 - one.predicted for one in events}


def batches(true: Mapping[str, int], size: int, rng: random.Random) -> list[bytes]:
    """Bodies of the requests: every label, corrections behind the labels that they correct."""
    first, later = [], []
    for request_id, label in true.items():
        wrong = rng.random() < CORRECTED
        first.append((request_id, 1 - label if wrong else label))
        if wrong or rng.random() < TWICE:
            later.append((request_id, label))
    rng.shuffle(first)
    return list(_bodies(first, size)) + list(_bodies(later, size))


def _bodies(labels: Sequence[tuple[str, int]], size: int) -> Iterator[bytes]:
    for start in range(0, len(labels), size):
        entries = [{"request_id": one, "label": label} for one, label in labels[start : start + size]]
        yield json.dumps({"labels": entries}).encode()


def measure(scratch: Path, bundle: Path, count: int, size: int, seed: int) -> Run:
    """Enter predictions, send the labels and recount."""
    rng = random.Random(seed)
    service_core, *others = usable_cores()
    if others:
        os.sched_setaffinity(0, others[:1])
    with EmbeddedValkey(scratch / "valkey", memory="1gb") as valkey:
        windows = RollingWindows.at(valkey.url, MODEL, timeout=10.0)
        events = predictions(count, rng)
        for start in range(0, count, _ENTERED_AT_A_TIME):
            windows.apply(events[start : start + _ENTERED_AT_A_TIME])
        true = truth(events, rng)
        bodies = batches(true, size, rng)
        environment = {
            "DEMUR_REDIS_URL": valkey.url,
            "DEMUR_MODEL": MODEL,
            "DEMUR_FEEDBACK_TOKENS": f"bench={TOKEN}",
        }
        launch = Launch(bundle, scratch / "service", processes.free_ports(1)[0], extra=environment)
        with running(DEMUR, launch, [service_core]) as server:
            return _send(server, valkey, windows, bodies, events, true)


def _send(
    server: RunningServer,
    valkey: EmbeddedValkey,
    windows: RollingWindows,
    bodies: Sequence[bytes],
    events: Sequence[PredictionEvent],
    true: Mapping[str, int],
) -> Run:
    before, store_before, began = server.cpu_seconds(), _cpu(valkey), time.perf_counter()
    sent = _post(server, bodies)
    accepted = time.perf_counter() - began
    while _waiting(server) and time.perf_counter() < began + PATIENCE:
        time.sleep(0.01)
    counted = time.perf_counter() - began
    cpu, store_cpu = server.cpu_seconds() - before, _cpu(valkey) - store_before
    faults = _faults(windows, events, true)
    return Run(sent / accepted, sent / counted, 1e6 * cpu / sent, 1e6 * store_cpu / sent, faults)


def _cpu(valkey: EmbeddedValkey) -> float:
    """Seconds of the store's CPU so far."""
    return 0.0 if valkey.pid is None else processes.cpu_seconds([valkey.pid])


def _post(server: RunningServer, bodies: Sequence[bytes]) -> int:
    """Send every body over one connection; the number of labels accepted."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    sent = 0
    for body in bodies:
        connection.request("POST", "/feedback/batch", body, headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 202 or any("problem" in one for one in content["results"]):
            sys.exit(f"a batch was answered with {answer.status}: {str(content)[:500]}")
        sent += content["accepted"]
    connection.close()
    return sent


def _waiting(server: RunningServer) -> int:
    health = json.loads(server.get("/health")[1])
    return int(health["store"]["events_waiting"])


def _faults(windows: RollingWindows, events: Sequence[PredictionEvent], true: Mapping[str, int]) -> list[str]:
    """Differences between the windows and a recount of the latest predictions."""
    snapshot = windows.snapshot(BUNDLE)
    faults = []
    if (snapshot.predictions, snapshot.labelled) != (len(events), len(events)):
        faults.append(f"{snapshot.labelled} labels of {snapshot.predictions} predictions were counted")
    answered = [one for one in events if one.answer is not None]
    for series, held, among in (("all", snapshot.all, events), ("answered", snapshot.answered, answered)):
        for window in (held.acc, held.mcc):
            latest = among[-window.size :]
            cells = Counter((one.predicted, true[one.request_id]) for one in latest)
            if dict(window.cells) != dict(cells):
                faults.append(f"the window {series}@{window.size} holds {window.cells}, not {cells}")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    runs: list[Run] = []
    with (
        tempfile.TemporaryDirectory(prefix="labels-") as name,
        RunConsole().bar("Runs", given.runs, unit="runs") as bar,
    ):
        bundle = write_tiny_bundle(Path(name) / "tiny")
        for seed in range(given.runs):
            runs.append(measure(Path(name) / f"run-{seed}", bundle, given.labels, given.batch, seed))
            bar.advance(1)
        bar.finish("Measured")
    faults = [fault for run in runs for fault in run.faults]
    columns = {
        "labels accepted a second": [run.accepted for run in runs],
        "labels counted a second": [run.counted for run in runs],
        "CPU of the service per label, us": [run.cpu for run in runs],
        "CPU of the store per label, us": [run.store_cpu for run in runs],
    }
    rows = [
        [what, f"{statistics.median(values):,.0f}", f"{min(values):,.0f} to {max(values):,.0f}"]
        for what, values in columns.items()
    ]
    table = markdown(["what", "median", "range"], rows)
    print(table, *faults, sep="\n")
    counted = statistics.median(columns["labels counted a second"])
    recording.save(
        "labels",
        "serving",
        "Labels in batches",
        about=f"{given.labels:,} labels in batches of {given.batch:,} over one connection, with a token, "
        f"{100 * CORRECTED:g} % of them corrected and {100 * TWICE:g} % sent twice; each run begins with an "
        "empty store.",
        claims=[
            Claim(
                "labels through /feedback/batch, one core, the store beside it",
                f"{counted:,.0f} a second",
                f"at least {TARGET:,.0f}",
                counted >= TARGET,
            ),
            Claim(
                "counts and windows after every run",
                f"{len(faults)} differences from a recount",
                "none",
                not faults,
            ),
        ],
        detail=table,
        raw="\n".join([table, *map(str, runs)]),
    )
    if faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
