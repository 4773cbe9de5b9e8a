"""Whole runs from images to certificate: time, what is certified, and the report on images never seen.

    python benchmarks/whole_runs.py demo [--record [FOLDER]]
    DEMUR_DATA=FOLDER python benchmarks/whole_runs.py cats-dogs road-signs imagenet-weights [--seeds 5]
                                                      [--record [FOLDER]] [--out DIR]

FOLDER holds catsdogs_train.parquet and gtsrb_train.parquet. Each run is the command line as a user types it;
figures come from its certificate.json and metrics/report.json. Finished runs in DIR are not repeated, so the
command can be stopped and started again; their time is then the first one's.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from harness.venvs import CACHE
from harness.whole_run import CLOCK, DEMUR, Outcome


@dataclass(frozen=True)
class Goal:
    """Least median over the seeds of one figure."""

    claim: str
    figure: str
    least: float


@dataclass(frozen=True)
class Run:
    """One command, its data set and its goals."""

    title: str
    about: str
    arguments: str
    """Of `demur`; DATA stands for the folder of the data sets."""
    goals: tuple[Goal, ...] = ()


RUNS: Mapping[str, Run] = {
    "demo": Run(
        "The demo",
        "Ten thousand synthetic street scenes, from rendering to a bundle.",
        "demo --no-serve",
    ),
    "cats-dogs": Run(
        "Cats and dogs from scratch",
        "15,000 photographs of 96 px, both stages from random weights, in 20 minutes.",
        "train --data parquet:DATA/catsdogs_train.parquet --backbone none --minutes 19",
        (Goal("cats and dogs from scratch: coverage certified at 1 %", "certified", 0.6),),
    ),
    "road-signs": Run(
        "Road signs by track",
        "39,209 photographs in 1,307 tracks, road work against other signs. val_test holds few road work "
        "tracks, so its MCC has a wide interval.",
        "train --data parquet:DATA/gtsrb_train.parquet --group track --minutes 6",
        (
            Goal("road signs: coverage certified at 1 %", "certified", 0.93),
            Goal("road signs: forced MCC", "forced_mcc", 0.97),
            Goal("road signs: share of the answers from stage A", "stage_a_share", 0.8),
        ),
    ),
    "imagenet-weights": Run(
        "ImageNet weights",
        "Cats and dogs with stage B from an EfficientNet-lite0, at .3 %.",
        "train --data parquet:DATA/catsdogs_train.parquet --backbone efficientnet-lite0 --alpha 0.003 "
        "--minutes 16",
        (
            Goal("ImageNet weights: forced accuracy", "forced_accuracy", 0.995),
            Goal("ImageNet weights: coverage certified at .3 %", "certified", 0.9),
            Goal("ImageNet weights: share of the answers from stage A", "stage_a_share", 0.5),
        ),
    ),
}


HEADER = (
    *("seed", "time", "certificate", "val_test: answered", "wrong among them", "answers from stage A"),
    *("forced accuracy", "forced MCC"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", choices=list(RUNS), metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to N - 1 of each run but the demo")
    parser.add_argument("--out", type=Path, default=CACHE / "whole-runs")
    add_record_option(parser)
    given = parser.parse_args()
    for name in given.runs:
        command = f"python benchmarks/whole_runs.py {name}"
        if name != "demo":
            command = f"DEMUR_DATA=... {command}" + (f" --seeds {given.seeds}" if given.seeds > 1 else "")
        recording = Recording.begin(given.record, command)
        seeds = range(1 if name == "demo" else given.seeds)
        outcomes = [finished(RUNS[name], given.out / f"{name}-{seed}", seed) for seed in seeds]
        _record(recording, name, RUNS[name], outcomes)


def finished(run: Run, folder: Path, seed: int) -> Outcome:
    """The run of one seed, after training it if it is not there yet."""
    clock = folder / CLOCK
    if not clock.is_file():
        data = os.environ.get("DEMUR_DATA", ".")
        words = [word.replace("DATA", data) for word in shlex.split(run.arguments)]
        started = time.monotonic()
        # A run of its own each, for figures: what one certifies takes nothing from another.
        own = {**os.environ, "DEMUR_LEDGER": str(folder / "ledger")}
        subprocess.run([DEMUR, *words, "--seed", str(seed), "--out", str(folder)], check=True, env=own)
        clock.write_text(f"{time.monotonic() - started:.1f}\n")
    return Outcome.read(folder, seed)


def _record(recording: Recording, name: str, run: Run, outcomes: Sequence[Outcome]) -> None:
    rows = [outcome.row() for outcome in outcomes]
    table = markdown(list(HEADER), rows)
    print(table)
    seeds = f", median of {len(outcomes)} seeds" if len(outcomes) > 1 else ""
    medians = {goal: statistics.median(one.figure(goal.figure) for one in outcomes) for goal in run.goals}
    claims = [
        Claim(goal.claim + seeds, f"{value:.3f}", f"at least {goal.least:g}", value >= goal.least)
        for goal, value in medians.items()
    ]
    if not claims:
        first = outcomes[0]
        value = f"{first.figure('certified'):.3f} in {first.row()[1]}"
        title = run.title[0].lower() + run.title[1:]
        claims = [Claim(f"{title}: coverage certified at {100 * first.certificate.alpha:g} %", value)]
    recording.save(
        name,
        "training",
        run.title,
        about=f"{run.about} `demur {run.arguments.replace('DATA/', '')}`.",
        claims=claims,
        detail=table,
        raw=table,
    )


if __name__ == "__main__":
    main()
