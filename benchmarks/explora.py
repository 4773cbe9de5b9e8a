"""ExPLoRA on real photographs: a backbone carried to a new domain without labels, beside the same without it.

    DEMUR_DATA=FOLDER python benchmarks/explora.py [--directions cats-signs,signs-cats] [--record [FOLDER]]
                                                   [--out DIR]

FOLDER holds gtsrb_train.parquet (road signs in tracks) and catsdogs_train.parquet. A small ViT learns one
set as a masked autoencoder, ExPLoRA carries it to the other without labels, and LoRA then trains a
classifier on a few labelled images of that, through the code of `demur compare`: with ExPLoRA, without it,
with a backbone that saw the target alone, and from random weights. Five seeds, which draw the labelled
images as well as the training; learning rates are chosen with the first seed on val_select; the intervals
are paired, over the test images (whole tracks of signs). No image of val_select or val_test is in any
pretraining of its own set.

With --methods each method of `demur compare` trains the backbone that saw cats and dogs alone on the signs:
full training, LoRA and DoRA (queries and values, all matrices), linear probe.

Every step leaves its files in DIR, so the command can be stopped and started again.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from rich.console import Console
from rich.table import Table

from bundle.images.preprocess import PreprocessSpec
from calibration.metrics import balanced_mcc
from calibration.resampling import bootstrap_difference
from trainer.compare.config import read_config
from trainer.compare.run import compare
from trainer.data.config import DataConfig
from trainer.data.faults import PreparedData, prepare
from trainer.data.source import open_source
from trainer.data.splits import Splits, SplitSizes, make_splits
from trainer.fit.augment import AugmentConfig
from trainer.fit.batches import LabelledPixels
from trainer.fit.checkpoint_selection import CRITERIA
from trainer.fit.config import LoopConfig
from trainer.fit.device import ComputeConfig
from trainer.models.backbones import TransformerConfig, build_transformer
from trainer.models.pretrained import open_weights
from trainer.pretrain.config import PretrainConfig, load_pretrain_config
from trainer.pretrain.run import pretrain
from trainer.run.console import RunConsole
from trainer.run.folder import read_json, write_json
from trainer.transfer.methods import METHODS, Method, Task, outputs_on, train_with

SIZE, PATCH, HIDDEN, LAYERS, HEADS = 48, 8, 96, 12, 2
RANK = 4
SEEDS = 5
SELECT_FRAMES, TEST_FRAMES = 2, 2
"""Frames per track of signs; more would be near-copies"""
LR = 2e-3
"""Learning rate of both kinds of pretraining"""


@dataclass(frozen=True)
class PhotoSet:
    """One set of photographs, how it is split, and how many of its images are labelled."""

    name: str
    file: str
    label_column: str
    classes: int
    group: str | None
    sizes: SplitSizes
    kinds: tuple[tuple[int, ...], ...]
    """Labels of the set that are one class of the task each; labels in no tuple form one more class"""
    labelled_per_class: int

    @property
    def task_classes(self) -> int:
        return len(self.kinds) + (sum(len(kind) for kind in self.kinds) < self.classes)

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 [n], in the task's classes"""
        task = np.full(self.classes, len(self.kinds), dtype=np.int64)
        for index, kind in enumerate(self.kinds):
            task[list(kind)] = index
        return task[self.data.source.labels]

    @property
    def source(self) -> str:
        return f"parquet:{Path(os.environ.get('DEMUR_DATA', '../shared/data')) / self.file}"

    @cached_property
    def data(self) -> PreparedData:
        source = open_source(
            DataConfig(
                source=self.source, group=self.group, label_column=self.label_column, classes=self.classes
            )
        )
        return prepare(source, [PreprocessSpec(height=SIZE, width=SIZE)])

    @cached_property
    def splits(self) -> Splits:
        return make_splits(
            self.data.source.labels,
            self.data.source.groups,
            self.sizes,
            seed=0,
            ids=self.data.pixels.content,
        )

    def pixels(self, rows: np.ndarray) -> LabelledPixels:
        chosen = np.ascontiguousarray(self.data.pixels.arrays[0][rows])
        return LabelledPixels(torch.from_numpy(chosen), torch.from_numpy(self.labels[rows]))

    def thinned(self, rows: np.ndarray, frames: int) -> np.ndarray:
        """Rows of a few frames per track, evenly spread; all rows of a set without groups."""
        groups = self.data.source.groups
        if groups is None:
            return rows
        parts = [rows[groups[rows] == name] for name in np.unique(groups[rows])]
        return np.sort(np.concatenate([p[np.linspace(0, len(p) - 1, frames).astype(int)] for p in parts]))

    def labelled(self, seed: int) -> np.ndarray:
        """Labelled rows of one seed: equally many per class, from different tracks if those suffice."""
        rng = np.random.default_rng(seed)
        groups = self.data.source.groups
        chosen = []
        for k in range(self.task_classes):
            rows = rng.permutation(self.splits.train[self.labels[self.splits.train] == k])
            if groups is not None:
                first = np.unique(groups[rows], return_index=True)[1]
                rows = np.concatenate([rows[np.sort(first)], np.delete(rows, first)])
            chosen.append(rows[: self.labelled_per_class])
        return np.sort(np.concatenate(chosen))

    def pretrain_config(self, backbone: Mapping[str, Any], images: int) -> PretrainConfig:
        epochs = max(1, round(images / len(self.splits.train)))
        return load_pretrain_config(
            None,
            {
                "data.source": self.source,
                "data.group": self.group,
                "data.label_column": self.label_column,
                "data.classes": self.classes,
                "splits.val_select": self.sizes.val_select,
                "splits.val_calib": self.sizes.val_calib,
                "splits.val_test": self.sizes.val_test,
                "image_size": SIZE,
                "epochs": epochs,
                "augment": {"smallest_crop": 0.5},
                **backbone,
            },
        )


PROHIBITORY, DANGER, MANDATORY = (
    (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16),
    (11, *range(18, 32)),
    tuple(range(33, 41)),
)
"""Kinds of signs, as the German traffic sign detection benchmark sorts them; the rest is a fourth"""
SETS = {
    "cats": PhotoSet(
        "cats", "catsdogs_train.parquet", "label", 2, None, SplitSizes(300, 0, 4000), ((0,), (1,)), 200
    ),
    "signs": PhotoSet(
        "signs",
        "gtsrb_train.parquet",
        "class_id",
        43,
        "track",
        SplitSizes(100, 0, 450),
        (PROHIBITORY, DANGER, MANDATORY),
        50,
    ),
}
FROM_SCRATCH = {
    "backbone": "vit",
    "from_scratch": True,
    "shape.patch_size": PATCH,
    "shape.hidden_size": HIDDEN,
    "shape.layers": LAYERS,
    "shape.heads": HEADS,
    "lr": LR,
}
RATES = (5e-3, 1.5e-2)
LORA = Method("LoRA q/v", "lora", (*RATES, RATES[-1]))
FULL = Method("full", "full", (3e-4, 1e-3, 3e-3))
"""Full training of random weights, which take higher rates than pretrained ones"""


@dataclass(frozen=True)
class Row:
    """One combination of backbone and training method."""

    title: str
    weights: Path
    method: Method
    rates: tuple[float, ...]


def rows_of(source: str, target: str, out: Path) -> tuple[Row, ...]:
    backbones = {
        f"MAE on {source}": out / source,
        f"MAE on {source}, ExPLoRA on {target}": out / f"{source}-{target}",
        f"MAE on {target} alone": out / target,
    }

    def rows(way: str, method: Method, rates: tuple[float, ...]) -> list[Row]:
        return [Row(f"{name}, then {way}", folder, method, rates) for name, folder in backbones.items()]

    return (
        *rows("LoRA", LORA, RATES),
        Row("random weights, trained in full", out / "random", FULL, FULL.rates[:2]),
        *rows("a linear probe", METHODS["head"], METHODS["head"].rates[1:]),
    )


def pretrainings(directions: list[tuple[str, str]], images: int, out: Path, console: RunConsole) -> None:
    """Train both masked autoencoders, and ExPLoRA in each direction, unless their files exist."""
    for name in dict.fromkeys(name for pair in directions for name in pair):
        _once(SETS[name].pretrain_config(FROM_SCRATCH, images), out / name, console)
    for source, target in directions:
        explora = {"backbone": f"folder:{out / source}", "explora.rank": RANK, "lr": LR}
        _once(SETS[target].pretrain_config(explora, images), out / f"{source}-{target}", console)
    if not (out / "random" / "config.json").is_file():
        torch.manual_seed(0)
        shape = TransformerConfig(patch_size=PATCH, hidden_size=HIDDEN, layers=LAYERS, heads=HEADS)
        build_transformer("vit", shape, SIZE).net.save_pretrained(out / "random")


def _once(config: PretrainConfig, folder: Path, console: RunConsole) -> None:
    if not (folder / "model.safetensors").is_file():
        pretrain(config, folder, console)


def classify(row: Row, target: PhotoSet, rate: float, seed: int, console: RunConsole) -> dict[str, Any]:
    """Train one classifier and return its loss on val_select and its predictions on val_test."""
    select = target.thinned(target.splits.val_select, SELECT_FRAMES)
    test = target.thinned(target.splits.val_test, TEST_FRAMES)
    task = Task(
        family="vit",
        weights=open_weights(f"folder:{row.weights}"),
        spec=PreprocessSpec(height=SIZE, width=SIZE),
        n_classes=target.task_classes,
        train=target.pixels(target.labelled(seed)),
        select=target.pixels(select),
        loop=LoopConfig(
            epochs=16,
            batch_size=16,
            ema_decay=0.9,
            weight_decay=0.01,
            augment=AugmentConfig(
                smallest_crop=0.7, brightness=0.3, contrast=0.3, horizontal_flip=target.group is None
            ),
            checkpoint_selection="loss",
        ),
        compute=ComputeConfig().resolved(),
        rank=8,
        views=2,
        cache=row.weights / "features",
    )
    title = f"{row.title}, lr {rate:g}, seed {seed}"
    with console.bar(title, task.loop.epochs * len(task.train)) as bar:
        trained = train_with(row.method, task, rate, seed, bar.at)
        bar.finish()
    outputs = outputs_on(trained.model, target.pixels(test), task.spec)
    return {
        "rate": rate,
        "select_loss": CRITERIA["loss"].cost(trained.best),
        "select_accuracy": trained.best.accuracy,
        "seconds": trained.seconds,
        "predictions": outputs.logits.argmax(axis=-1).tolist(),
    }


def all_seeds(row: Row, target: PhotoSet, cells: Path, console: RunConsole) -> list[np.ndarray]:
    """Predictions on val_test of every seed, int64 [m] each; the first seed chooses the rate."""

    def cell(rate: float, seed: int) -> dict[str, Any]:
        path = cells / f"{row.method.adapt}-{row.weights.name}-{rate:g}-{seed}.json"
        if not path.is_file():
            write_json(path, classify(row, target, rate, seed, console))
        return dict(read_json(path))

    first = min((cell(rate, 0) for rate in row.rates), key=lambda found: found["select_loss"])
    found = [first, *(cell(first["rate"], seed) for seed in range(1, SEEDS))]
    return [np.asarray(one["predictions"], dtype=np.int64) for one in found]


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(np.mean([np.mean(labels == one) for one in predictions.T]))


def mcc(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(np.mean([balanced_mcc(labels, one) for one in predictions.T]))


@dataclass(frozen=True)
class Report:
    """The figures of one direction and number of labelled images."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def table(self) -> Table:
        table = Table(title=self.title)
        for column in self.header:
            table.add_column(column)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        filled = [[*row, *[""] * (len(self.header) - len(row))] for row in self.rows]
        return f"{self.title}:\n\n{markdown(list(self.header), filled)}"

    def claims(self) -> list[Claim]:
        """Gain of LoRA after ExPLoRA against LoRA without it."""
        return [
            Claim(f"{self.title}: accuracy of {title}, minus without", f"{accuracy} %, {difference} points")
            for title, accuracy, _, difference, *_ in (
                row for row in self.rows if len(row) == len(self.header)
            )
            if "ExPLoRA" in title and "LoRA" in title.rpartition("then")[2]
        ]


def report(source: str, target_name: str, labelled: int | None, out: Path, console: RunConsole) -> Report:
    target = SETS[target_name]
    if labelled is not None:
        target = replace(target, labelled_per_class=labelled)
    cells = out / "cells" / f"{target_name}-{target.labelled_per_class}"
    test = target.thinned(target.splits.val_test, TEST_FRAMES)
    labels, groups = target.labels[test], target.data.source.groups
    tracks = None if groups is None else groups[test]
    budget = len(target.labelled(0))
    rows = []
    reference: np.ndarray | None = None
    for row in rows_of(source, target_name, out):
        predictions = np.stack(all_seeds(row, target, cells, console), axis=1)
        each = [np.mean(labels == one) for one in predictions.T]
        each_mcc = [balanced_mcc(labels, one) for one in predictions.T]
        columns = [
            row.title,
            f"{100 * np.mean(each):.1f} ± {100 * np.std(each, ddof=1):.1f}",
            f"{np.mean(each_mcc):.3f} ± {np.std(each_mcc, ddof=1):.3f}",
        ]
        if reference is None or row.weights == out / source:
            reference = predictions
        else:
            for metric in (accuracy, mcc):
                found = bootstrap_difference(
                    metric, (labels, predictions), (labels, reference), groups=tracks, resamples=1000
                )
                columns.append(f"{100 * float(found):+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]")
        rows.append(tuple(columns))
    return Report(
        f"{source} -> {target_name}, {budget} labelled, {len(test):,} test images, {SEEDS} seeds",
        ("", "accuracy %", "balanced MCC", "accuracy, minus without", "MCC x 100, minus without"),
        tuple(rows),
    )


def compare_methods(out: Path, console: RunConsole, recording: Recording) -> None:
    """`demur compare` on the signs with the backbone of cats and dogs, which has seen none of them."""
    signs = SETS["signs"]
    thin = out / "signs-thin.parquet"
    if not thin.is_file():
        # Every sixth frame of a track: the rest are near-copies, and every cell is scored on every frame.
        table = pq.read_table(signs.source.removeprefix("parquet:"))
        pq.write_table(table.filter(pc.is_in(table["frame"], pa.array(range(0, 30, 6)))), thin)
    config = read_config(
        {
            "data.source": f"parquet:{thin}",
            "data.group": signs.group,
            "data.label_column": signs.label_column,
            "data.classes": signs.classes,
            "backbone": f"folder:{out / 'cats'}",
            "image_size": SIZE,
            "train_images": 400,
            "epochs": 12,
            "batch_size": 16,
            "seeds": 3,
            "splits.val_select": 120,
            "splits.val_calib": 300,
            "splits.val_test": 350,
            "promise.alpha": 0.05,
        }
    )
    result = compare(config, out / "methods", console)
    text = (out / "methods" / "compare.md").read_text()
    lora = next((one for one in result.summaries if one.method == "lora"), None)
    claims = []
    if lora is not None and "accuracy" in lora.against_full:
        gain = lora.against_full["accuracy"]
        claims.append(
            Claim(
                f"{lora.title} against full training, {signs.classes} classes from 400 frames: accuracy",
                f"{100 * lora.mean('accuracy'):.1f} %, {100 * gain.value:+.1f} [{100 * gain.low:+.1f}, "
                f"{100 * gain.high:+.1f}] points",
            )
        )
    recording.save(
        "adaptation-methods",
        "training",
        "Full training, adapters and linear probe",
        about="`demur compare` with a small ViT that has seen cats and dogs alone, on 43 classes of road "
        "signs: 400 labelled frames, 350 test tracks, three seeds, twelve epochs; learning rates are "
        "chosen with the first seed on val_select.",
        claims=claims,
        detail=text.partition("\n\n")[2],
        raw=text,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/explora"))
    parser.add_argument("--directions", default="cats-signs,signs-cats")
    parser.add_argument(
        "--images", type=int, default=80_000, help="seen by each pretraining and by ExPLoRA, with repeats"
    )
    parser.add_argument(
        "--labelled", type=int, nargs="+", default=[None], help="labelled images of each class"
    )
    parser.add_argument("--methods", action="store_true", help="the methods of `demur compare` instead")
    add_record_option(parser)
    options = parser.parse_args()
    recording = Recording.begin(options.record)
    directions = [(pair.split("-")[0], pair.split("-")[1]) for pair in options.directions.split(",")]
    screen = Console(width=150)
    console = RunConsole(screen)
    if options.methods:
        _once(SETS["cats"].pretrain_config(FROM_SCRATCH, options.images), options.out / "cats", console)
        compare_methods(options.out, console, recording)
        return
    pretrainings(directions, options.images, options.out, console)
    reports = [
        report(source, target, labelled, options.out, console)
        for source, target in directions
        for labelled in options.labelled
    ]
    for one in reports:
        screen.print(one.table())
    text = "\n".join(one.markdown() for one in reports)
    recording.save(
        "explora",
        "training",
        "ExPLoRA",
        about=f"A ViT of {SIZE} px, patches of {PATCH}, {LAYERS} blocks of width {HIDDEN}; each "
        f"pretraining and ExPLoRA see {options.images:,} images, repeats counted. Then a classifier from a "
        f"few labelled images; {SEEDS} seeds, which draw labels and training; learning rate chosen with "
        "the first seed on val_select; in brackets the paired 95 % interval over the test images (whole "
        "tracks), against the same training without ExPLoRA. ± is the standard deviation over the seeds.",
        claims=[claim for one in reports for claim in one.claims()],
        detail=text,
        raw=text,
    )


if __name__ == "__main__":
    main()
