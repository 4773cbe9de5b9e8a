"""The first hour: runs without options but the data, the group and the risk, on real photographs.

    DEMUR_DATA=FOLDER python benchmarks/first_hour.py [ROW ...] [--seeds N] [--out DIR] [--record [FOLDER]]
    python benchmarks/first_hour.py demo
    python benchmarks/first_hour.py --finished --record

FOLDER holds catsdogs_train.parquet, gtsrb_train.parquet, storm_damage.parquet and roads_potholes.parquet.
Figures are those of the run itself: its certificate, and val_test, which it reports on once. Finished runs in
DIR are not repeated, so the command can be stopped and started again, a row or a seed at a time; --finished
shows those that are there. A row has three seeds, or five where every one of them must reach its goal.
--record keeps each run with its date, and the record shows the newest of each row and seed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from harness.figures import markdown
from harness.kept_runs import KeptRun, keep_runs, kept_runs, newest
from harness.record import Claim, Recording, add_record_option
from harness.venvs import CACHE
from harness.whole_run import CLOCK, DEMUR, Outcome


@dataclass(frozen=True)
class Goal:
    """Least value of one figure, of the median over the seeds or of every seed."""

    figure: str
    least: float
    every_seed: bool = False

    def reached(self, runs: Sequence[KeptRun]) -> float:
        values = [run.figures[self.figure] for run in runs]
        return min(values) if self.every_seed else statistics.median(values)

    @property
    def text(self) -> str:
        return f"at least {self.least:g}" + (" in every seed" if self.every_seed else "")


@dataclass(frozen=True)
class Row:
    """One task of the table."""

    title: str
    arguments: str
    """Of `demur`; DATA stands for the folder of the data sets, SUBSET for that of `images` of them"""
    goals: tuple[Goal, ...] = ()
    images: int | None = None
    """Number of images drawn from the data set; None: all"""

    @property
    def seeds(self) -> int:
        return 5 if any(goal.every_seed for goal in self.goals) else 3


NAME = "first-hour"
CATS, SIGNS = "catsdogs_train.parquet", "gtsrb_train.parquet"
ROWS: Mapping[str, Row] = {
    **{
        f"cats-{images}-{percent}": Row(
            f"cats and dogs, {images:,} photographs, at {percent} %",
            f"train --data parquet:SUBSET/{CATS}" + ("" if percent == 1 else f" --alpha 0.0{percent}"),
            (Goal("certified", 0.85),) if (images, percent) == (2_000, 5) else (),
            images,
        )
        for images in (500, 2_000, 5_000)
        for percent in (5, 1)
    },
    "cats": Row(
        "cats and dogs, all 15,000 photographs",
        f"train --data parquet:DATA/{CATS}",
        (Goal("certified", 0.93), Goal("forced_accuracy", 0.97)),
    ),
    "cats-scratch": Row(
        "cats and dogs, all 15,000 photographs, random weights",
        f"train --data parquet:DATA/{CATS} --backbone none",
    ),
    "signs": Row(
        "road signs by track",
        f"train --data parquet:DATA/{SIGNS} --group track",
        (Goal("certified", 0.99, every_seed=True), Goal("stage_a_share", 0.8, every_seed=True)),
    ),
    "storm": Row(
        "storm damage by cell, at 5 %",
        "train --data parquet:DATA/storm_damage.parquet --group group --alpha 0.05 --minutes 6",
        (Goal("certified", 0.7),),
    ),
    "potholes": Row(
        "potholes by run",
        "train --data parquet:DATA/roads_potholes.parquet --group group",
    ),
    "demo": Row(
        "the demo",
        "demo --no-serve",
        (Goal("certified", 0.93, every_seed=True), Goal("stage_a_share", 0.4, every_seed=True)),
    ),
}
"""Every row of the table; those with a goal are the default"""

FIGURES = ("forced_accuracy", "forced_mcc", "coverage", "selective_error", "stage_a_share")
CLAIMED: Mapping[str, str] = {
    "certified": "certified coverage",
    "forced_accuracy": "forced accuracy",
    "stage_a_share": "share of the answers from stage A",
}
"""Figures that goals are set for, and their words"""
HEADER = (
    *("task", "seed", "date", "time", "stage B", "certified"),
    *("forced accuracy", "forced MCC", "answered", "wrong among them", "from stage A"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = [name for name, row in ROWS.items() if row.goals] + ["potholes"]
    parser.add_argument("rows", nargs="*", metavar="ROW", default=default, help=", ".join(ROWS))
    parser.add_argument("--seeds", type=int, help="seeds 0 to N - 1 of each row, by default 3 or 5")
    parser.add_argument("--finished", action="store_true", help="train nothing, show what is in DIR")
    parser.add_argument("--out", type=Path, default=CACHE / "first-hour")
    add_record_option(parser)
    given = parser.parse_args()
    if unknown := set(given.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; the rows are {', '.join(ROWS)}")
    recording = Recording.begin(given.record, f"DEMUR_DATA=... {shlex.join(['python', *sys.argv])}")
    found: list[KeptRun] = []
    for name in given.rows:
        row = ROWS[name]
        folders = {seed: given.out / f"{name}-{seed}" for seed in range(given.seeds or row.seeds)}
        wanted = [seed for seed, folder in folders.items() if not given.finished or _is_finished(folder)]
        found += [_kept(name, finished(row, folders[seed], seed), recording.date) for seed in wanted]
    older = kept_runs(given.record, NAME) if given.record else []
    runs = newest(older, found, ROWS)
    if given.record:
        keep_runs(given.record, NAME, runs)
    table = markdown(list(HEADER), [_line(run) for run in runs])
    print(table)
    recording.save(
        NAME,
        "training",
        "The first hour",
        about="Runs without options but the data, the group and the risk; val_test is reported on once.",
        claims=[claim for name in ROWS for claim in _claims(name, runs)],
        detail=table,
        raw=table,
    )


def finished(row: Row, folder: Path, seed: int) -> Outcome:
    """The run of one seed, after training it if it is not there yet."""
    if not _is_finished(folder):
        words = [_placed(word, row.images, folder.parent, seed) for word in shlex.split(row.arguments)]
        started = time.monotonic()
        # A run of its own each, for figures: what one certifies takes nothing from another.
        own = {**os.environ, "DEMUR_LEDGER": str(folder / "ledger")}
        subprocess.run([DEMUR, *words, "--seed", str(seed), "--out", str(folder)], check=True, env=own)
        (folder / CLOCK).write_text(f"{time.monotonic() - started:.1f}\n")
    return Outcome.read(folder, seed)


def _is_finished(folder: Path) -> bool:
    return (folder / CLOCK).is_file()


def _placed(word: str, images: int | None, out: Path, seed: int) -> str:
    """A word of the command with the folder of the data; a subset is drawn by seed, and written once."""
    data = Path(os.environ.get("DEMUR_DATA", "../shared/data"))
    if "SUBSET" not in word or images is None:
        return word.replace("DATA", str(data))
    folder = out / f"subset-{images}-{seed}"
    name = word.rpartition("/")[2]
    if not (folder / name).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(data / name)
        rows = np.random.default_rng(seed).choice(len(table), images, replace=False)
        pq.write_table(table.take(np.sort(rows)), folder / name)
    return word.replace("SUBSET", str(folder))


def _kept(name: str, outcome: Outcome, date: str) -> KeptRun:
    certificate = outcome.certificate
    minutes, seconds = divmod(round(outcome.seconds), 60)
    promised = f"{certificate.coverage:.3f} at {100 * certificate.alpha:g} %"
    cells = (
        f"{minutes} min {seconds} s",
        outcome.stage_b,
        promised if certificate.feasible else "nothing",
        *(outcome.shown(figure) for figure in FIGURES),
    )
    return KeptRun(name, outcome.seed, date, cells, {figure: outcome.figure(figure) for figure in CLAIMED})


def _line(run: KeptRun) -> list[str]:
    return [ROWS[run.row].title, str(run.seed), run.date, *run.cells]


def _claims(name: str, runs: Sequence[KeptRun]) -> list[Claim]:
    row, of_row = ROWS[name], [run for run in runs if run.row == name]
    if not of_row:
        return []
    seeds = f", {len(of_row)} seeds" if len(of_row) > 1 else ""
    found: list[Claim] = []
    for goal in row.goals:
        value = goal.reached(of_row)
        claim = f"{row.title}: {CLAIMED[goal.figure]}{seeds}"
        found.append(Claim(claim, f"{value:.3f}", goal.text, value >= goal.least))
    return found


if __name__ == "__main__":
    main()
