"""A whole run beside a busy process: does the cascade stay a cascade?

    DEMUR_DATA=FOLDER python benchmarks/busy_run.py [--minutes 6] [--record [FOLDER]] [--out DIR]

Trains road signs (gtsrb_train.parquet in FOLDER) alone and beside a process that keeps one core busy, and
compares the share of the answers that stage A gives on val_test. Finished runs in DIR are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from harness.venvs import CACHE
from harness.whole_run import CLOCK, DEMUR

LEAST_SHARE = 0.8
"""Target of stage A's share of the answers, against the quiet run's"""


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """A process that keeps one core busy, if `busy`."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def train(folder: Path, minutes: float, busy: bool) -> None:
    """Train into `folder`, unless a finished run is there."""
    clock = folder / CLOCK
    if clock.is_file():
        return
    source = f"parquet:{os.environ.get('DEMUR_DATA', '.')}/gtsrb_train.parquet"
    began = time.monotonic()
    with neighbour(busy):
        subprocess.run(
            [
                DEMUR,
                "train",
                "--data",
                source,
                "--group",
                "track",
                "--minutes",
                f"{minutes:g}",
                "--out",
                folder,
            ],
            check=True,
            env={**os.environ, "DEMUR_LEDGER": str(folder / "ledger")},
        )
    clock.write_text(f"{time.monotonic() - began:.1f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=6.0, help="planned minutes of training")
    parser.add_argument("--out", type=Path, default=CACHE / "busy-run")
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    rows, shares = [], []
    for name in ("quiet", "busy"):
        folder = given.out / name
        train(folder, given.minutes, busy=name == "busy")
        report = json.loads((folder / "metrics" / "report.json").read_text())
        figures = {one["metric"]: one["value"] or 0.0 for one in report["measurements"]}
        shares.append(figures["stage_a_share"])
        rows.append(
            [
                "beside a busy process" if name == "busy" else "on a quiet machine",
                f"{float((folder / CLOCK).read_text()) / 60:.1f}",
                f"{100 * figures['coverage']:.1f} %",
                f"{100 * figures['stage_a_share']:.1f} %",
                f"{figures['forced_mcc']:.3f}",
            ]
        )
    table = markdown(["run", "minutes", "val_test: answered", "answers from stage A", "forced MCC"], rows)
    print(table)
    ratio = shares[1] / shares[0] if shares[0] else 0.0
    recording.save(
        "busy-run",
        "training",
        "A whole run beside a busy process",
        about="`demur train --data parquet:gtsrb_train.parquet --group track --minutes "
        f"{given.minutes:g}`, alone and beside a process that keeps one core busy.",
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


if __name__ == "__main__":
    main()
