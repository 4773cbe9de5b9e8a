"""Training beside another busy process: does it keep its speed, and does the cascade stay a cascade?

    python benchmarks/busy_neighbour.py [--runs 3] [--seconds 25] [--record [FOLDER]]
    DEMUR_DATA=FOLDER python benchmarks/busy_neighbour.py --whole-run [--minutes 6] [--out DIR]
                                                          [--record [FOLDER]]

The first trains a small convolutional stage with each fixed number of threads and with the number that
training chooses, in turn, on the machine as it is and beside a process that keeps one core busy. A rate
counts everything from the first step to the last, measuring the threads included. The second trains road
signs (gtsrb_train.parquet in FOLDER) both ways and compares the share of the answers that stage A gives.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from harness.figures import markdown, shown
from harness.record import Claim, Recording, add_record_option
from harness.venvs import CACHE

from demur.profile.figures import Repeated
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.device import ComputeConfig
from trainer.fit.loop import Callbacks, LoopConfig, StepProgress, fit
from trainer.models import ModelConfig, build_model

DEMUR = Path(sys.executable).with_name("demur")
SIZE, IMAGES, BATCH = 64, 4096, 128
MEAN_STD = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CHOSEN = "chosen"
LEAST_BUSY, LEAST_QUIET, LEAST_SHARE = 0.8, 0.95, 0.8
"""Targets: throughput against the best fixed number of threads, beside a neighbour and alone; and stage A's
share of the answers against the quiet run's"""


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """A process that computes without pause, if `busy`."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def images_per_second(threads: int | None, seconds: float) -> float:
    """Throughput of one training of about this length."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    data = LabelledPixels(pixels, torch.arange(IMAGES) % 2)
    few = LabelledPixels(pixels[:BATCH], torch.arange(BATCH) % 2)
    ends: list[float] = []

    def note(_: StepProgress) -> None:
        ends.append(time.perf_counter())
        if ends[-1] - ends[0] > seconds:
            raise _EnoughError

    with suppress(_EnoughError):
        fit(
            build_model(ModelConfig(name="cnn-tiny", width=16), SIZE, 2),
            FitData(data, few, MEAN_STD),
            LoopConfig(epochs=1000, batch_size=BATCH),
            compute=ComputeConfig(device="cpu", precision="fp32", threads=threads),
            callbacks=Callbacks(on_step=note),
        )
    return BATCH * (len(ends) - 1) / (ends[-1] - ends[0])


class _EnoughError(Exception):
    """The training has lasted long enough."""


def measure(runs: int, seconds: float) -> dict[tuple[bool, str], list[float]]:
    """(neighbour, threads) -> images per second of every run."""
    cores = len(os.sched_getaffinity(0))
    choices: dict[str, int | None] = {str(count): count for count in range(1, cores + 1)} | {CHOSEN: None}
    rates: dict[tuple[bool, str], list[float]] = defaultdict(list)
    for run in range(runs):
        for busy in (False, True):
            order = list(choices)
            for name in order if run % 2 == 0 else reversed(order):
                with neighbour(busy):
                    rates[busy, name].append(images_per_second(choices[name], seconds))
                print(f"neighbour {'busy' if busy else 'none'}, threads {name}: {rates[busy, name][-1]:,.0f}")
    return rates


def record_throughput(recording: Recording, runs: int, seconds: float) -> None:
    rates = measure(runs, seconds)
    rows, claims = [], []
    for busy, least in ((False, LEAST_QUIET), (True, LEAST_BUSY)):
        where = "beside a busy process" if busy else "on a quiet machine"
        medians = {name: statistics.median(found) for (when, name), found in rates.items() if when == busy}
        best = max(rate for name, rate in medians.items() if name != CHOSEN)
        ratio = medians[CHOSEN] / best
        rows += [[where, name, shown(Repeated.of(rates[busy, name]))] for name in medians]
        claims.append(
            Claim(
                f"training {where}: speed with the chosen threads against the best fixed number",
                f"{ratio:.3f}",
                f"at least {least:g}",
                ratio >= least,
            )
        )
    table = markdown(["machine", "threads", "images/s"], rows)
    print(table)
    recording.save(
        "busy-neighbour",
        "training",
        "Training beside a busy process",
        about=f"A small convolutional stage at {SIZE} px, batches of {BATCH}; {runs} runs of {seconds:g} s "
        "per row, in turn. Torch waits for its slowest thread at every kernel, so a neighbour on one core "
        "costs more than that core; training therefore measures which number of threads is fastest, and "
        "again when its speed falls.",
        claims=claims,
        detail=table,
        raw=table,
    )


def record_whole_run(recording: Recording, minutes: float, out: Path) -> None:
    rows, shares = [], {}
    for busy in (False, True):
        folder = out / ("busy" if busy else "quiet")
        if not (folder / "bundle").is_dir():
            source = f"parquet:{os.environ['DEMUR_DATA']}/gtsrb_train.parquet"
            command = ["train", "--data", source, "--group", "track", "--minutes", f"{minutes:g}"]
            with neighbour(busy):
                subprocess.run([DEMUR, *command, "--out", str(folder)], check=True)
        report = json.loads((folder / "metrics" / "report.json").read_text())
        figures = {one["metric"]: one["value"] for one in report["measurements"]}
        shares[busy] = figures["stage_a_share"] or 0.0
        rows.append(
            [
                "beside a busy process" if busy else "on a quiet machine",
                f"{100 * figures['coverage']:.1f} %",
                f"{100 * shares[busy]:.1f} %",
                f"{figures['forced_mcc']:.3f}",
            ]
        )
    table = markdown(["machine", "val_test: answered", "answers from stage A", "forced MCC"], rows)
    print(table)
    ratio = shares[True] / shares[False] if shares[False] else 0.0
    recording.save(
        "busy-run",
        "training",
        "A whole run beside a busy process",
        about=f"`demur train --data parquet:gtsrb_train.parquet --group track --minutes {minutes:g}`, "
        "alone and beside a process that keeps one core busy.",
        claims=[
            Claim(
                "road signs beside a busy process: stage A's share of the answers against the quiet run's",
                f"{ratio:.3f}",
                f"at least {LEAST_SHARE:g}",
                ratio >= LEAST_SHARE,
            )
        ],
        detail=table,
        raw=table,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=25.0, help="of one training")
    parser.add_argument("--whole-run", action="store_true", help="train road signs both ways instead")
    parser.add_argument("--minutes", type=float, default=6.0, help="planned minutes of a whole run")
    parser.add_argument("--out", type=Path, default=CACHE / "busy-run")
    add_record_option(parser)
    given = parser.parse_args(arguments)
    recording = Recording.begin(given.record)
    if given.whole_run:
        record_whole_run(recording, given.minutes, given.out)
    else:
        record_throughput(recording, given.runs, given.seconds)


if __name__ == "__main__":
    main()
