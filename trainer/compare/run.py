"""`demur compare`: full training, LoRA, DoRA and the linear probe on one data set, over several seeds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.images.preprocess import PreprocessSpec
from trainer.certify.account import enter_reading
from trainer.compare.cells import Cells
from trainer.compare.config import CompareConfig
from trainer.compare.figures import REFERENCE, AnswersOnTest, MethodSummary, SeedFigures, against_full
from trainer.compare.runs import Scorer, labelled, run_seeds
from trainer.compare.table import write_comparison
from trainer.data.faults import PreparedData, prepare
from trainer.data.opening import open_data, split_data
from trainer.data.splits import Splits
from trainer.fit.augment import level
from trainer.fit.config import LoopConfig
from trainer.models.backbones import family_of
from trainer.models.pretrained import BackboneError, WeightFolder, open_weights
from trainer.planning.pretrained_recipe import DEFAULT_SIZE
from trainer.pretrain.weights import overlap_notices
from trainer.run.console import RunConsole
from trainer.run.folder import write_yaml
from trainer.run.lock import locked
from trainer.run.log import RUN_LOG
from trainer.transfer.methods import METHODS, Task


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Result of a comparison; the folder holds all of it as well."""

    summaries: tuple[MethodSummary, ...]
    files: tuple[Path, ...]


def compare(config: CompareConfig, out: Path, console: RunConsole) -> ComparisonResult:
    """Train every method with every seed on the same splits, and write the table.

    Finished cells are stored in `out/cells`: the same call resumes with the rest, and a call with more
    methods or seeds trains only those. Raises `BackboneError` before any image is read if the pretrained
    weights cannot be found.
    """
    with locked(out), console.logged_to(out / RUN_LOG):
        return _compare(config, out, console)


def _compare(config: CompareConfig, out: Path, console: RunConsole) -> ComparisonResult:
    weights = _weights(config)
    size = config.image_size or weights.side("image_size", DEFAULT_SIZE)
    config = config.model_copy(update={"compute": config.compute.resolved()})
    write_yaml(out / "config.yaml", config.model_dump(mode="json"))
    console.heading("Data")
    spec = PreprocessSpec(height=size, width=size)
    data = _decode(config, spec, out, console)
    splits = split_data(data, config.splits, config.promise, seed=config.splits.seed or 0, pretrained=True)
    task = _task(config, weights, spec, data, splits, out)
    console.note(
        f"{len(task.train):,} training images of {size} px, {len(splits.val_select):,} to select, "
        f"{len(splits.val_calib):,} to certify, {len(splits.val_test):,} to test"
    )
    for notice in overlap_notices(weights, data.pixels.content, splits):
        console.warn(notice.message)
    scorer = Scorer(config, data, splits, spec)
    test = scorer.split("val_test", splits.val_test)
    cells = Cells(out / "cells", _fingerprint(config, weights, splits))
    _enter_reading(config, splits, data, out)
    ranked: dict[str, list[AnswersOnTest]] = {}
    runs: dict[str, list[SeedFigures]] = {}
    for name in config.methods:
        console.heading(METHODS[name].title)
        for figures, answers in run_seeds(name, config, task, scorer, cells, console):
            runs.setdefault(name, []).append(figures)
            ranked.setdefault(name, []).append(answers)
            console.note(_sentence(figures))
    summaries = tuple(
        MethodSummary(
            name,
            METHODS[name].title,
            tuple(runs[name]),
            against_full(test, ranked[REFERENCE], ranked[name], config.seed)
            if REFERENCE in ranked and name != REFERENCE
            else {},
        )
        for name in config.methods
    )
    subtitle = (
        f"{weights.name} at {size} px on {data.source.name}: {len(task.train):,} "
        f"training images, {len(splits.val_test):,} test images, {config.seeds} seeds"
    )
    files = write_comparison(summaries, out, subtitle)
    console.heading("Result")
    for file in files:
        console.note(str(file))
    return ComparisonResult(summaries, files)


def _enter_reading(config: CompareConfig, splits: Splits, data: PreparedData, out: Path) -> None:
    """Enter in the user's ledger that labels of val_calib are read; the figures promise nothing."""
    what = f"comparison of {', '.join(config.methods)} by {config.seeds} seeds, figures only"
    same = config.model_dump_json(exclude={"data", "backbone"})
    computation = hashlib.sha256(f"{same}{splits.digests['val_calib']}".encode()).hexdigest()
    content = [data.pixels.content[row] for row in splits.val_calib.tolist()]
    enter_reading(content, what, computation, out)


def _weights(config: CompareConfig) -> WeightFolder:
    """The pretrained weights, opened once; `BackboneError` if they cannot be found."""
    if config.backbone == "random":
        raise BackboneError(
            "backbone is 'random': without pretrained weights only full training makes sense, so there is "
            "nothing to compare; name folder:PATH or hub:OWNER/NAME"
        )
    return open_weights(config.backbone)


def _decode(config: CompareConfig, spec: PreprocessSpec, out: Path, console: RunConsole) -> PreparedData:
    source = open_data(config.data, console)
    with console.bar("Decoding", len(source)) as bar:
        return prepare(
            source, [spec], skip_bad=config.data.skip_bad, cache=out / "pixels", advance=bar.advance
        )


def _task(
    config: CompareConfig,
    weights: WeightFolder,
    spec: PreprocessSpec,
    data: PreparedData,
    splits: Splits,
    out: Path,
) -> Task:
    rows = splits.train
    if config.train_images is not None and config.train_images < len(rows):
        rows = np.sort(np.random.default_rng(config.seed).permutation(rows)[: config.train_images])
    return Task(
        family=family_of(weights),
        weights=weights,
        spec=spec,
        n_classes=len(data.source.class_names),
        train=labelled(data, rows),
        select=labelled(data, splits.val_select),
        loop=LoopConfig(
            epochs=config.epochs,
            batch_size=config.batch_size,
            balance=config.balance,
            ema_decay=0.99,
            augment=level(config.augment),
            checkpoint_selection=config.checkpoint_selection,
        ),
        compute=config.compute,
        rank=config.rank,
        views=config.views,
        cache=out / "features",
    )


def _fingerprint(config: CompareConfig, weights: WeightFolder, splits: Splits) -> dict[str, Any]:
    """Fields that stored cells must share. Methods and seeds may be added, and the data may have moved."""
    same = config.model_dump(mode="json", exclude={"data", "methods", "seeds", "backbone"})
    return {
        "configuration": same,
        "splits": dict(splits.digests),
        "weights": weights.digest(),
    }


def _sentence(figures: SeedFigures) -> str:
    return (
        f"seed {figures.seed}, lr {figures.rate:g}: accuracy {100 * figures.accuracy:.2f} %, balanced MCC "
        f"{figures.balanced_mcc:.3f}, AUGRC x 1000 {1000 * figures.augrc:.2f}, certified coverage "
        f"{100 * figures.certified_coverage:.1f} %, trained {100 * figures.trained_share:.2f} % of the "
        f"weights in {figures.seconds:.0f} s"
    )
