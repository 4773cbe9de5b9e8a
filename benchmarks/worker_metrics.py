"""Metrics of workers that die: does a scrape stay quick, and is every count kept?

    python benchmarks/worker_metrics.py [--deaths 200] [--every 20] [--seed 0] [--record [FOLDER]]

One process after another counts decisions, reports how many, goes on scraping and is killed by SIGKILL at a
random moment, often during a scrape. The parent then forgets it as the supervisor of the service does, and
scrapes. The same is done with what `prometheus_client` alone does for a dead process. The exit code is 1 if a
count was lost or counted twice.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics.instruments import Instruments
from monitoring.metrics.worker_files import WorkerFiles, shared_metrics
from trainer.run.console import RunConsole

Forget = Callable[[WorkerFiles, int], None]

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
BUNDLES, ROUTES = 4, 12
SCRAPES = 5
"""Scrapes per time measured"""
LONGEST_LIFE = 0.05
"""Seconds for which a worker goes on scraping"""
FLAT = 1.5
"""Factor by which the last scrape may be slower than the one after the first death"""


@dataclass(slots=True)
class Folder:
    """What the folder of the metrics became over the deaths."""

    deaths: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Of one scrape, median"""
    size: list[int] = field(default_factory=list)
    """Bytes"""
    counted: int = 0
    """Decisions that the workers reported"""
    shown: int = 0
    """Decisions in the last scrape"""


def _work(folder: str, counted: int, reports: Connection) -> None:
    """A worker that counts in `folder`, reports and scrapes until it is killed."""
    # The server of forked processes has the environment of its own start.
    os.environ[_FOLDER] = folder
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    instruments = Instruments()
    for number in range(counted):
        bundle = f"bundle:{number % BUNDLES}"
        instruments.decisions.labels(bundle, "A", "answer").inc()
        instruments.http_duration.labels("POST", f"/route/{number % ROUTES}", "200").observe(0.01)
    instruments.queue_depth.set(1)
    reports.send(counted)
    while True:
        instruments.render()


def deaths(number: int, every: int, seed: int, forget: Forget, advance: Callable[[int], None]) -> Folder:
    """Let workers count and die, one after another."""
    rng, found = random.Random(seed), Folder()
    # Forked from a server that has imported everything, so a worker starts in milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monitoring.metrics.instruments"])
    with shared_metrics() as files:
        own = Instruments()
        for death in range(1, number + 1):
            reports, theirs = context.Pipe(duplex=False)
            arguments = (os.environ[_FOLDER], rng.randint(1, 500), theirs)
            process = context.Process(target=_work, args=arguments)
            with theirs:
                process.start()
            found.counted += reports.recv()
            time.sleep(rng.uniform(0.0, LONGEST_LIFE))
            process.kill()
            process.join()
            assert process.pid is not None
            forget(files, process.pid)
            advance(1)
            if death == 1 or death % every == 0:
                found.deaths.append(death)
                found.seconds.append(_scrape_seconds(own))
                found.size.append(_size())
        found.shown = _decisions(own)
    return found


def _scrape_seconds(own: Instruments) -> float:
    times = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        own.render()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _size() -> int:
    return sum(file.stat().st_size for file in Path(os.environ[_FOLDER]).iterdir())


def _decisions(own: Instruments) -> int:
    families = text_string_to_metric_families(own.render().decode())
    samples = (sample for family in families for sample in family.samples)
    return round(sum(sample.value for sample in samples if sample.name == "demur_decisions_total"))


def _client_alone(files: WorkerFiles, pid: int) -> None:
    mark_process_dead(pid)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--deaths", type=int, default=200)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    with RunConsole().bar("Killing workers", 2 * given.deaths, unit="workers") as bar:
        merged = deaths(given.deaths, given.every, given.seed, WorkerFiles.forget, bar.advance)
        alone = deaths(given.deaths, given.every, given.seed, _client_alone, bar.advance)
        bar.finish("Killed")
    columns = zip(merged.deaths, merged.seconds, merged.size, alone.seconds, alone.size, strict=True)
    rows = [
        [
            str(death),
            f"{1e3 * ours:.1f}",
            f"{size / 1024:,.0f}",
            f"{1e3 * theirs:.1f}",
            f"{large / 1024:,.0f}",
        ]
        for death, ours, size, theirs, large in columns
    ]
    titles = ["deaths", "scrape, ms", "folder, KiB", "scrape without merging, ms", "folder, KiB"]
    table = markdown(titles, rows)
    print(table)
    lost = merged.counted - merged.shown
    print(f"decisions counted {merged.counted:,}, in the last scrape {merged.shown:,}")
    slower, larger = merged.seconds[-1] / merged.seconds[0], merged.size[-1] / merged.size[0]
    recording.save(
        "worker-metrics",
        "robustness",
        "Metrics of workers that die",
        about="Workers count, scrape and get SIGKILL at a random moment, one after another. Beside it: what "
        "`prometheus_client` alone does for a dead process.",
        claims=[
            Claim(
                f"{given.deaths} deaths of workers: scrape time, and size of the folder",
                f"{slower:.2f} and {larger:.2f} times those after the first death",
                f"at most {FLAT:g} times",
                slower <= FLAT and larger <= FLAT,
            ),
            Claim(f"{given.deaths} deaths of workers: counts lost or double", f"{lost}", "0", lost == 0),
        ],
        detail=table,
        raw=f"{table}\n{merged}\n{alone}",
    )
    if lost:
        sys.exit(1)


if __name__ == "__main__":
    main()
