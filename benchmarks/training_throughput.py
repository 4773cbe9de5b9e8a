"""Training throughput: LoRA beside transformers' Trainer, and kept features in bf16 beside fp32.

    python benchmarks/training_throughput.py [--precision fp32 bf16] [--runs 5] [--steps 6] [--batch 32]
                                             [--record [FOLDER]]

Both loops train the same module (ViT-tiny of random weights, LoRA on queries and values, our three heads and
their loss) on the same uint8 pixels in memory, with AdamW, clipping, warm-up and cosine alike, on the same
threads; neither augments. Timed from the end of the first step to the end of the last, in turn, so that a
slow spell of the machine affects both. The Trainer needs accelerate (extra `bench`).
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from scipy.stats import t as student_t
from torch import Tensor, nn

from trainer.fit.augment import level, to_unit_range
from trainer.fit.batches import FitData, LabelledPixels, Normaliser
from trainer.fit.config import LoopConfig
from trainer.fit.device import ComputeConfig, has_bf16
from trainer.fit.loop import Callbacks, StepProgress, fit
from trainer.fit.loss import LossConfig, training_loss
from trainer.models import ModelConfig, StageModel, TransformerConfig, build_model
from trainer.transfer.features import FeatureConfig, embed

MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LOOP = LoopConfig(epochs=1, batch_size=32, lr=1e-3, ema_decay=0.0, gradient_clip=5.0, augment=level("none"))


@dataclass(frozen=True)
class Task:
    """Inputs of both loops."""

    weights: Path
    data: LabelledPixels
    size: int
    batch: int
    precision: str

    def model(self) -> StageModel:
        transformer = TransformerConfig(weights=f"folder:{self.weights}", adapt="lora")
        return build_model(ModelConfig(name="vit", transformer=transformer), self.size, 2)


def ours(task: Task) -> float:
    """Images per second of `trainer.fit.loop.fit`."""
    ends: list[float] = []

    def note(_: StepProgress) -> None:
        ends.append(time.perf_counter())

    loop = LOOP.model_copy(update={"batch_size": task.batch})
    compute = ComputeConfig(device="cpu", precision=task.precision, deterministic=True)
    two = LabelledPixels(task.data.pixels[:2], task.data.labels[:2])
    data = FitData(task.data, two, MEAN_STD)
    fit(task.model(), data, loop, compute=compute, callbacks=Callbacks(on_step=note))
    return rate(ends, task.batch)


class WithLoss(nn.Module):
    """Stage in the form that the Trainer needs: loss and outputs from one call."""

    def __init__(self, stage: StageModel) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.stage(pixel_values)
        ones = torch.ones(len(labels))
        return {"loss": training_loss(outputs, labels, ones, LossConfig()), "logits": outputs.logits}


class Rows(torch.utils.data.Dataset[int]):
    """Row numbers; the collator takes the pixels of a whole batch at once, which is fastest."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: int) -> int:
        return row


def theirs(task: Task) -> float:
    """Images per second of transformers' Trainer."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    ends: list[float] = []

    class Note(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    normalise = Normaliser.from_mean_std(MEAN_STD)

    def collate(rows: Sequence[int]) -> dict[str, Tensor]:
        pixels = normalise(to_unit_range(task.data.pixels[rows]))
        return {"pixel_values": pixels, "labels": task.data.labels[rows]}

    steps = len(task.data) // task.batch
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=task.batch,
            max_steps=steps,
            learning_rate=LOOP.lr,
            weight_decay=LOOP.weight_decay,
            max_grad_norm=LOOP.gradient_clip,
            lr_scheduler_type="cosine",
            warmup_steps=math.ceil(LOOP.warmup * steps),
            bf16=task.precision == "bf16",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        trainer = Trainer(
            model=WithLoss(task.model()),
            args=arguments,
            train_dataset=Rows(len(task.data)),
            data_collator=collate,
            callbacks=[Note()],
        )
        trainer.train()
    return rate(ends, task.batch)


def rate(ends: Sequence[float], batch: int) -> float:
    return batch * (len(ends) - 1) / (ends[-1] - ends[0])


def caching(task: Task, precision: str) -> float:
    """Images per second of the frozen backbone's features."""
    model = task.model()
    part = LabelledPixels(task.data.pixels[: 2 * task.batch], task.data.labels[: 2 * task.batch])
    start = time.perf_counter()
    embed(model, part, MEAN_STD, FeatureConfig(views=0, bf16=precision == "bf16"))
    return len(part) / (time.perf_counter() - start)


def in_turn(first: Callable[[], float], second: Callable[[], float], runs: int) -> np.ndarray:
    """Rates [runs, 2]; every other pair begins with the second."""
    found = np.empty((runs, 2))
    for run in range(runs):
        for which in ((0, 1), (1, 0))[run % 2]:
            found[run, which] = (first, second)[which]()
        print(f"    run {run + 1}: {found[run, 0]:.1f} and {found[run, 1]:.1f} images/s", flush=True)
    return found


@dataclass(frozen=True)
class Ratio:
    """Medians of two rates, and their ratio with its 95 % interval (Student's t on the logarithms)."""

    title: str
    names: tuple[str, str]
    medians: tuple[float, float]
    ratio: float
    low: float
    high: float
    pairs: int
    least: float
    """Target of the ratio."""

    def __str__(self) -> str:
        return (
            f"{self.title}: {self.names[0]} {self.medians[0]:.1f}, {self.names[1]} {self.medians[1]:.1f} "
            f"images/s; ratio {self.interval} over {self.pairs} pairs"
        )

    @property
    def interval(self) -> str:
        return f"{self.ratio:.3f} ({self.low:.3f} to {self.high:.3f})"

    def claim(self) -> Claim:
        what = f"{self.title}: {self.names[0]} against {self.names[1]}"
        return Claim(
            what, f"{self.interval} times its speed", f"at least {self.least:g}", self.ratio >= self.least
        )

    def row(self) -> list[str]:
        first, second = (f"{rate:.1f}" for rate in self.medians)
        return [self.title, f"{self.names[0]}: {first}", f"{self.names[1]}: {second}", self.interval]


def compared(title: str, names: tuple[str, str], rates: np.ndarray, least: float) -> Ratio:
    """The ratio over all pairs of runs; it is printed too."""
    logs = np.log(rates[:, 0] / rates[:, 1])
    runs = len(logs)
    half = student_t.ppf(0.975, runs - 1) * logs.std(ddof=1) / math.sqrt(runs) if runs > 1 else math.inf
    middle = np.median(rates, axis=0)
    ratio, low, high = (math.exp(logs.mean() + shift) for shift in (0.0, -half, half))
    found = Ratio(title, names, (float(middle[0]), float(middle[1])), ratio, low, high, runs, least)
    print(found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs")
    parser.add_argument("--steps", type=int, default=6, help="of each run")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    add_record_option(parser)
    options = parser.parse_args()
    recording = Recording.begin(options.record)
    found: list[Ratio] = []
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message=r".*pin_memory.*")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    generator = torch.Generator().manual_seed(0)
    n = options.batch * options.steps
    pixels = torch.randint(0, 256, (n, options.size, options.size, 3), generator=generator, dtype=torch.uint8)
    data = LabelledPixels(pixels, torch.arange(n) % 2)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "vit-tiny"
        net = build_model(
            ModelConfig(name="vit", transformer=TransformerConfig()), options.size, 2
        ).backbone.net
        net.save_pretrained(weights)  # type: ignore[operator, union-attr]
        print(f"ViT-tiny at {options.size} px, batches of {options.batch}, {options.threads} threads")
        for precision in options.precision:
            task = Task(weights, data, options.size, options.batch, precision)
            rates = in_turn(lambda task=task: ours(task), lambda task=task: theirs(task), options.runs)
            names = ("demur", "transformers' Trainer")
            found.append(compared(f"LoRA training in {precision}", names, rates, 1.0))
        hardware = "in hardware" if has_bf16("cpu") else "emulated"
        rates = in_turn(lambda: caching(task, "bf16"), lambda: caching(task, "fp32"), options.runs)
        found.append(compared(f"Kept features, bf16 {hardware}", ("bf16", "fp32"), rates, 2.0))
        amx = torch.cpu.get_capabilities().get("amx_bf16")
        about_amx = f"This CPU {'has' if amx else 'has no'} AMX."
        print(about_amx)
    recording.save(
        "training-throughput",
        "training",
        "Speed of training",
        about=f"The same LoRA model (ViT-tiny at {options.size} px, batches of {options.batch}, "
        f"{options.threads} threads) trained by our loop and by transformers' Trainer, in turn; and kept "
        f"features of a frozen backbone in bfloat16 and float32. {about_amx}",
        claims=[ratio.claim() for ratio in found],
        detail=markdown(["", "images/s", "images/s", "ratio (95 %)"], [ratio.row() for ratio in found]),
        raw="\n".join([*map(str, found), about_amx]),
    )


if __name__ == "__main__":
    main()
