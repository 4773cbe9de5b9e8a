"""Time and memory of `certify`, beside MAPIE's BinaryClassificationController if it is installed.

    python benchmarks/certify.py [--images 100000] [--thresholds 100] [--repeats 7] [--record [FOLDER]]

Both get the same task: the loosest of T thresholds at which at most 1 % of the answered images are
wrong, with confidence 95 %, by fixed-sequence testing. For MAPIE that is a precision of .99 of
"answered" against "the label is right". Time is the median of the repeats; memory is the peak of what
NumPy and Python allocated beyond the inputs, measured in a separate run.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from rich.console import Console
from rich.table import Table

from calibration import RiskTarget, certify, plan_thresholds

TARGET = RiskTarget(alpha=0.01, delta=0.05)


@dataclass(frozen=True)
class Task:
    """Confidences in (0, 1) and errors of n images of accuracy .97; T thresholds from another draw."""

    confidence: np.ndarray
    errors: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def draw(cls, n: int, thresholds: int) -> Task:
        rng = np.random.default_rng(0)

        def scores(size: int) -> tuple[np.ndarray, np.ndarray]:
            x = rng.normal(1.88, 1.0, size)
            return 1.0 / (1.0 + np.exp(-2 * 1.88 * np.abs(x))), x < 0

        # MAPIE walks the grid as it is, so it must begin at a rank that affords an error or two.
        grid = plan_thresholds(*scores(20_000), n, TARGET, first_answered=n // 10)
        chosen = np.unique(np.linspace(0, len(grid) - 1, thresholds).astype(int))
        return cls(*scores(n), grid[chosen])


@dataclass(frozen=True)
class Measurement:
    name: str
    milliseconds: float
    peak_megabytes: float
    outcome: str


def measure(name: str, run: Callable[[], str], repeats: int) -> Measurement:
    outcome = run()  # imports and tables that are built once are not timed
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Measurement(name, 1e3 * statistics.median(seconds), peak / 1e6, outcome)


def run_ours(task: Task) -> str:
    certificate = certify(task.confidence, task.errors, task.thresholds, TARGET)
    return f"threshold {certificate.threshold:.5f}, coverage {certificate.coverage:.4f}"


def run_mapie(task: Task) -> str:
    from mapie.risk_control import BinaryClassificationController

    def predict_proba(confidence: np.ndarray) -> np.ndarray:
        return np.stack([1.0 - confidence, confidence], axis=1)

    controller = BinaryClassificationController(
        predict_proba,
        "precision",
        target_level=1.0 - TARGET.alpha,
        confidence_level=1.0 - TARGET.delta,
        list_predict_params=task.thresholds,
        fwer_method="fixed_sequence",
    )
    controller.calibrate(task.confidence, ~task.errors)
    threshold = float(np.min(controller.valid_predict_params))
    return f"threshold {threshold:.5f}, coverage {np.mean(task.confidence >= threshold):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--thresholds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    add_record_option(parser)
    options = parser.parse_args()
    if options.record and find_spec("mapie") is None:
        parser.error("--record compares with MAPIE, which is not installed: pip install '.[bench]'")

    recording = Recording.begin(options.record)
    task = Task.draw(options.images, options.thresholds)
    rows = [measure("demur certify", lambda: run_ours(task), options.repeats)]
    if find_spec("mapie") is not None:
        rows.append(measure(f"MAPIE {version('mapie')}", lambda: run_mapie(task), min(options.repeats, 3)))

    console = Console(record=True, width=110)
    table = Table(title=f"{options.images:,} images, {len(task.thresholds)} thresholds")
    for heading in ("", "ms", "peak MB", "times demur's time", "certified"):
        table.add_column(heading, justify="left" if heading in ("", "certified") else "right")
    for row in rows:
        ratio = f"{row.milliseconds / rows[0].milliseconds:.1f}"
        table.add_row(row.name, f"{row.milliseconds:.2f}", f"{row.peak_megabytes:.1f}", ratio, row.outcome)
    console.print(table)

    table = Table(title="certify alone: memory grows with the images, not with the thresholds")
    for heading in ("images", "thresholds", "ms", "peak MB", "bytes an image"):
        table.add_column(heading, justify="right")
    for images, thresholds in ((10**5, 100), (10**6, 100), (10**6, 1000)):
        larger = Task.draw(images, thresholds)
        row = measure("certify", lambda larger=larger: run_ours(larger), 3)
        table.add_row(
            f"{images:,}",
            str(len(larger.thresholds)),
            f"{row.milliseconds:.2f}",
            f"{row.peak_megabytes:.1f}",
            f"{row.peak_megabytes * 1e6 / images:.0f}",
        )
    console.print(table)
    if len(rows) == 1:
        console.print(r"MAPIE is not installed; the extra \[bench] has it.")
    _record(recording, rows, options.images, len(task.thresholds), console.export_text())


def _record(
    recording: Recording, rows: Sequence[Measurement], images: int, thresholds: int, raw: str
) -> None:
    ours = rows[0]
    value = f"{ours.milliseconds:.1f} ms and {ours.peak_megabytes:.1f} MB"
    for peer in rows[1:]:
        value += f", {peer.milliseconds / ours.milliseconds:.0f} times faster than {peer.name}"
    recording.save(
        "certify-speed",
        "promise",
        "Speed of certify",
        about=f"{images:,} images and {thresholds} thresholds; MAPIE's BinaryClassificationController gets "
        "the same task. Time is the median of the repeats; memory is what NumPy and Python allocate beyond "
        "the inputs.",
        claims=[Claim(f"certify, {images:,} images and {thresholds} thresholds", value)],
        detail=markdown(
            ["", "ms", "peak MB", "certified"],
            [[row.name, f"{row.milliseconds:.1f}", f"{row.peak_megabytes:.1f}", row.outcome] for row in rows],
        ),
        raw=raw,
    )


if __name__ == "__main__":
    main()
