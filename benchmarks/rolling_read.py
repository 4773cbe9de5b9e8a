"""Time of a rolling read, and what the windows cost a store per event.

    python benchmarks/rolling_read.py [--predictions 20000] [--sizes 10,100] [--reads 2000]
                                      [--record [FOLDER]]

A read is what `GET /rolling` does beside HTTP: one call of the store for a bundle and the total, every
figure with its interval, and the JSON. Between two reads a prediction and its label come in. The store is an
embedded Valkey beside this process. Needs no model and no service. Measure on a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import TOTAL

BUNDLES = ("model:0123456789abcdef", "model:fedcba9876543210")
AT_A_TIME = 256
TARGET_MS = 1.0
SIX = (10, 50, 100, 500, 1_000, 10_000)


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one set of sizes."""

    sizes: Sequence[int]
    read_p50: float
    """Milliseconds"""
    read_p99: float
    predictions_per_second: float
    labels_per_second: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=int, default=20_000)
    parser.add_argument("--sizes", default="10,100")
    parser.add_argument("--reads", type=int, default=2_000)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    asked = tuple(int(size) for size in given.sizes.split(","))
    found = [measure(sizes, given.predictions, given.reads) for sizes in (asked, SIX)]
    rows = [
        [
            ", ".join(f"{size:,}" for size in one.sizes),
            f"{one.read_p50:.2f}",
            f"{one.read_p99:.2f}",
            f"{one.predictions_per_second:,.0f}",
            f"{one.labels_per_second:,.0f}",
        ]
        for one in found
    ]
    table = markdown(
        ["sizes", "read, median ms", "read, 99 % within ms", "predictions a second", "labels a second"], rows
    )
    print(table)
    recording.save(
        "rolling-read",
        "serving",
        "A rolling read",
        about=f"{given.predictions:,} predictions, each with its label, in an embedded Valkey; a read is one "
        "call of the store for a bundle and the total, all figures with their intervals, and the JSON, "
        f"after a new label. The rates are of batches of {AT_A_TIME}, over one connection.",
        claims=[
            Claim(
                f"a rolling read, windows of {rows[0][0]}",
                f"{found[0].read_p50:.2f} ms, 99 % within {found[0].read_p99:.2f} ms",
                f"<= {TARGET_MS:g} ms",
                found[0].read_p50 <= TARGET_MS,
            ),
            Claim(f"a rolling read, windows of {rows[1][0]}", f"{found[1].read_p50:.2f} ms"),
        ],
        detail=table,
        raw=table,
    )


def measure(sizes: Sequence[int], predictions: int, reads: int) -> Measured:
    """Fill a new store, and read it again and again."""
    with tempfile.TemporaryDirectory(prefix="rolling-") as folder, EmbeddedValkey(Path(folder)) as server:
        client = connect(server.url, timeout=30.0)
        windows = RollingWindows(client, "model", sizes=sizes)
        events, labels = stream(predictions + reads)
        seconds = entered(windows, events[:predictions]), entered(windows, labels[:predictions])
        times = []
        for later in range(predictions, predictions + reads):
            windows.apply([events[later], labels[later]])
            began = time.perf_counter()
            own, total = windows.snapshots([BUNDLES[0], TOTAL])
            orjson.dumps([own.to_dict(with_reward=True), total.to_dict(with_reward=True)])
            times.append(1e3 * (time.perf_counter() - began))
        client.close()
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return Measured(sizes, p50, p99, predictions / seconds[0], predictions / seconds[1])


def stream(predictions: int) -> tuple[list[Event], list[Event]]:
    """Predictions, and a label for each."""
    rng = np.random.default_rng(0)
    began = time.time() - predictions
    made: list[Event] = []
    labels: list[Event] = []
    for number, (label, right, strong) in enumerate(rng.random((predictions, 3)) < (0.4, 0.95, 0.8)):
        guess = int(label) if right else 1 - int(label)
        made.append(
            PredictionEvent(
                f"{number:032x}",
                BUNDLES[number % len(BUNDLES)],
                guess,
                guess if strong else None,
                "A" if strong else "B",
                1.0,
                0.9,
                began + number,
            )
        )
        labels.append(FeedbackEvent(f"{number:032x}", int(label), began + number + 60))
    return made, labels


def entered(windows: RollingWindows, events: Sequence[Event]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    for batch in batches(events):
        windows.apply(batch)
    return time.perf_counter() - began


def batches(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    for start in range(0, len(events), AT_A_TIME):
        yield events[start : start + AT_A_TIME]


if __name__ == "__main__":
    main()
