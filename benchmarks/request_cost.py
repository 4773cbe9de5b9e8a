"""CPU time that the event of a prediction and its audit add to a request.

    python benchmarks/request_cost.py [--events 50000] [--runs 5] [--record [FOLDER]]

*Before the answer* is what the request itself does: the draw of the audit, the event, its place in the
buffer. *In all* adds the recorder's thread, which writes the log and delivers to an embedded Valkey; the
store's own CPU is a column beside it. *The log line* is the middleware around the request, which writes the
line into a file; *its decision* is what bundle, decision, times, unit and trace cost of that. Half of the
units are new, half are cameras that send bursts. Needs no model and no service. Measure on a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from harness import processes
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calibration.decision import Decision
from monitoring.delivery.recorder import Recorder
from monitoring.events import Event, prediction_event
from monitoring.metrics.instruments import Instruments
from monitoring.promise.sampling import AuditSampler
from monitoring.store.contract import EventOutcome
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from service.http.observability import Observability
from service.logs.requests import MAX_DELAY
from service.logs.setup import LogOptions, configure_logging

BUNDLE = "cost:0123456789abcdef"
SHARE, GAP, CAMERAS = 0.05, 600.0, 50
TARGET_US = 20.0
_AT_A_TIME = 64
"""Events that are recorded before the recorder gets time, as between two of its rounds"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU per event."""

    before: float
    """Before the answer"""
    total: float
    """In all, in this process"""
    store: float


class _Silent:
    """An observer that counts nothing."""

    def delivered(self, event: Event, outcome: EventOutcome) -> None:
        pass

    def dropped(self, event: Event) -> None:
        raise RuntimeError(f"{event.request_id} was dropped")

    def unlogged(self, event: Event) -> None:
        raise RuntimeError(f"{event.request_id} is in no log")


def measure(folder: Path, events: int, seed: int) -> Cost:
    """Record events at the pace of the recorder, and wait until the store has them."""
    rng = random.Random(seed)
    sampler = AuditSampler(SHARE, GAP)
    answered = Decision("answer", 1, (1,), (0.02, 0.98), 4.2, "A", None)
    units = [f"camera-{rng.randrange(CAMERAS)}" if n % 2 else f"user-{n}" for n in range(events)]
    before = 0.0
    with EmbeddedValkey(folder / "valkey", memory="1gb") as store:
        windows = RollingWindows.at(store.url, "cost")
        recorder = Recorder(windows, _Silent(), logs=folder / "events")
        recorder.start()
        recorder.settled().result(10.0)
        began, store_began = time.process_time(), processes.cpu_seconds([store.pid or 0])
        for start in range(0, events, _AT_A_TIME):
            mark = time.thread_time()
            for number in range(start, min(events, start + _AT_A_TIME)):
                at = round(time.time(), 6)
                drawn = sampler.draw(BUNDLE, units[number], at, 1.0)
                recorder.record(
                    prediction_event(
                        answered,
                        request_id=f"r{number}",
                        bundle=BUNDLE,
                        at=at,
                        unit_id=units[number],
                        audit=drawn.audit,
                        draw=drawn.draw,
                        audit_probability=drawn.probability,
                    )
                )
            before += time.thread_time() - mark
            time.sleep(0.005)
        recorder.close(60.0)
        total = time.process_time() - began
        store_cpu = processes.cpu_seconds([store.pid or 0]) - store_began
        if windows.snapshot(BUNDLE).predictions != events:
            raise RuntimeError("the store has not received every event")
        windows.close()
    return Cost(*(1e6 * seconds / events for seconds in (before, total, store_cpu)))


def measure_line(folder: Path, requests: int, *, decided: bool) -> float:
    """Microseconds of CPU per request of the middleware that writes the log line."""
    answer = {
        "request_id": "cam7-0311",
        "decision": "answer",
        "stage": "A",
        "reason": None,
        "bundle": {"name": "cost", "version": "0123456789abcdef"},
        "audit": False,
        "timing_ms": {"queue": 0.101, "read": 0.015, "decode": 2.944, "stage_a": 9.871, "total": 12.951},
    }
    trace = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    headers = [
        (b"x-request-id", b"cam7-0311"),
        (b"content-type", b"image/jpeg"),
        *([trace] if decided else []),
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if decided:
            scope["state"].update(unit="camera-7", answers=[answer])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        pass

    async def serve(middleware: ASGIApp) -> float:
        began = time.process_time()
        for _ in range(requests):
            scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, "state": {}}
            await middleware(scope, cast("Any", None), send)
        await asyncio.sleep(2 * MAX_DELAY)
        return time.process_time() - began

    lines = configure_logging(LogOptions(file=folder / "log.jsonl"))
    middleware = Observability(app, instruments=Instruments(), lines=lines)
    return 1e6 * asyncio.run(serve(middleware)) / requests


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=5)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    costs, plain, decided = [], [], []
    for seed in range(given.runs):
        with tempfile.TemporaryDirectory(prefix="cost-") as folder:
            costs.append(measure(Path(folder), given.events, seed))
            plain.append(measure_line(Path(folder), given.events, decided=False))
            decided.append(measure_line(Path(folder), given.events, decided=True))
    columns = {
        "before the answer, us": [cost.before for cost in costs],
        "in all, us": [cost.total for cost in costs],
        "the store, us": [cost.store for cost in costs],
        "the log line, us": decided,
        "its decision, us": [full - bare for full, bare in zip(decided, plain, strict=True)],
    }
    rows = [
        [name, f"{statistics.median(values):.1f}", f"{min(values):.1f} to {max(values):.1f}"]
        for name, values in columns.items()
    ]
    table = markdown(["CPU per event", "median", "range"], rows)
    print(table)
    total = statistics.median(cost.total for cost in costs)
    recording.save(
        "request-cost",
        "serving",
        "What an event costs a request",
        about=f"{given.events:,} predictions with units, {SHARE:.0%} of the items audited, through the draw, "
        "the buffer, the log on disk and the delivery to the store.",
        claims=[
            Claim(
                "CPU added to a request by its event and its audit",
                f"{total:.1f} us, {statistics.median(columns['before the answer, us']):.1f} of them before "
                "the answer",
                f"at most {TARGET_US:g} us",
                total <= TARGET_US,
            )
        ],
        detail=table,
        raw=table,
    )


if __name__ == "__main__":
    main()
