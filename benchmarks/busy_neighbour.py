"""Training beside a busy process: throughput with measured threads against the best fixed number.

    DEMUR_DATA=FOLDER python benchmarks/busy_neighbour.py [--seconds 20] [--images 6000] [--record [FOLDER]]

FOLDER holds gtsrb_train.parquet. The planned stage B trains on road signs for some seconds with every fixed
number of threads and with measured ones, on the machine as it is, beside one process that keeps a core busy,
and with a process that starts on the way. Rates count from the first step, so the measuring before it is left
out and every later one is included. Takes about four minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec, resize
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.device import ComputeConfig
from trainer.fit.loop import Callbacks, StepProgress, fit
from trainer.fit.threads import candidates
from trainer.models import build_model
from trainer.planning.recipe import PlanInputs, StageRecipe, default_recipe

BUSY = "while True: pass"
LEAST_SHARE = 0.8


class Enough(Exception):
    """The measurement has lasted long enough."""


@dataclass
class Trial:
    """Images per second of one training."""

    batch: int
    ends: list[float] = field(default_factory=list)

    def rate(self, since: float = 0.0) -> float:
        """Over the steps that ended at least `since` seconds after the first."""
        times = np.array(self.ends) - self.ends[0]
        kept = times[times >= since]
        if len(kept) < 3:
            raise SystemExit("fewer than three steps were timed; raise --seconds")
        return float(self.batch * (len(kept) - 1) / (kept[-1] - kept[0]))


def road_signs(images: int) -> LabelledPixels:
    """Road signs of 32 px, spread over the whole set."""
    path = Path(os.environ.get("DEMUR_DATA", ".")) / "gtsrb_train.parquet"
    table = pq.read_table(path, columns=["image", "label"])
    rows = np.linspace(0, table.num_rows - 1, images).astype(int)
    chosen = table.take(rows)
    spec = PreprocessSpec(height=32, width=32)
    pixels = np.stack([resize(decode(one["bytes"]), spec) for one in chosen["image"].to_pylist()])
    return LabelledPixels(torch.from_numpy(pixels), torch.from_numpy(chosen["label"].to_numpy().copy()))


def train(stage: StageRecipe, data: FitData, threads: int | None, seconds: float) -> Trial:
    """Train for some seconds; None: measured threads."""
    trial = Trial(stage.loop.batch_size)

    def note(_: StepProgress) -> None:
        trial.ends.append(time.perf_counter())
        if trial.ends[-1] - trial.ends[0] >= seconds:
            raise Enough

    loop = stage.loop.model_copy(update={"epochs": 10_000, "time_budget_s": None, "least_epochs": 1})
    compute = ComputeConfig(device="cpu", threads=threads)
    model = build_model(stage.model, stage.image_size, 2)
    with suppress(Enough):
        fit(model, data, loop, compute=compute, callbacks=Callbacks(on_step=note))
    return trial


@contextmanager
def neighbour(*, after: float = 0.0) -> Iterator[None]:
    """A process that keeps one core busy, from `after` seconds on."""
    script = f"import time; time.sleep({after})\n{BUSY}"
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of each training")
    parser.add_argument("--images", type=int, default=6000)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    images = road_signs(given.images)
    stage = default_recipe(PlanInputs(17_640, 32, 6.0)).stage_b
    spec = PreprocessSpec(height=32, width=32)
    few = LabelledPixels(images.pixels[:64], images.labels[:64])
    data = FitData(images, few, (spec.mean, spec.std))

    counts = candidates(torch.get_num_threads())
    quiet = {count: train(stage, data, count, given.seconds).rate() for count in counts}
    quiet_measured = train(stage, data, None, given.seconds).rate()
    with neighbour():
        busy = {count: train(stage, data, count, given.seconds).rate() for count in counts}
        busy_measured = train(stage, data, None, given.seconds).rate()
    with neighbour(after=given.seconds / 2):
        # The decision needs two windows of observation after the process has started.
        late = train(stage, data, None, 3 * given.seconds).rate(since=given.seconds)

    rows = [
        _row("quiet", quiet, quiet_measured),
        _row("one busy process", busy, busy_measured),
        _row("a process that starts on the way", busy, late),
    ]
    header = ["machine", *(f"{count} threads" for count in counts), "measured", "of the best fixed"]
    table = markdown(header, rows)
    print(table)
    claims = [
        _claim("training on a quiet machine: throughput with measured threads", quiet, quiet_measured, 0.97),
        _claim("training beside a busy process: the same", busy, busy_measured, LEAST_SHARE),
        _claim("a process that starts during training: the same", busy, late, LEAST_SHARE),
    ]
    recording.save(
        "busy-neighbour",
        "training",
        "Training beside a busy process",
        about="Images per second of the planned stage B on road signs, by number of threads.",
        claims=claims,
        detail=table,
        raw=table,
    )


def _row(name: str, fixed: dict[int, float], measured: float) -> list[str]:
    rates = [f"{rate:,.0f}" for rate in fixed.values()]
    return [name, *rates, f"{measured:,.0f}", f"{measured / max(fixed.values()):.2f}"]


def _claim(claim: str, fixed: dict[int, float], measured: float, least: float) -> Claim:
    share = measured / max(fixed.values())
    return Claim(claim, f"{share:.2f} of the best fixed number", f"at least {least:g}", share >= least)


if __name__ == "__main__":
    main()
