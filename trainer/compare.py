"""`demur compare`: full training, LoRA, DoRA and the linear probe on one data set, over several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bundle.preprocess import PreprocessSpec
from calibration.scores import IntArray
from trainer.augment import level
from trainer.batches import LabelledPixels
from trainer.compute import ComputeConfig
from trainer.config import CheckpointSelection, DataConfig, SplitConfig, read_as
from trainer.contrast import REFERENCE, MethodSummary, Ranked, SeedFigures, against_full, judge
from trainer.data.faults import PreparedData, prepare
from trainer.data.source import open_source
from trainer.loop import LoopConfig
from trainer.methods import METHODS, Task, Trained, outputs_on, train_with
from trainer.models.backbones import family_of
from trainer.models.pretrained import BackboneError, open_weights
from trainer.progress import RunConsole
from trainer.promise import PromiseConfig
from trainer.reports.comparison import write_comparison
from trainer.run_folder import write_yaml
from trainer.score_table import SplitScores
from trainer.selection import CRITERIA
from trainer.splits import Splits, make_splits

ENGINE = "torch/fp32"


class CompareConfig(BaseModel):
    """What is compared, and with how much of everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig
    backbone: str
    """`folder:PATH` or `hub:OWNER/NAME[@REVISION]`"""
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: int = Field(default=3, ge=1)
    search: bool = True
    """Try three learning rates a method with the first seed and keep what val_select ranks best."""
    image_size: int | None = Field(default=None, ge=16, le=1024)
    """Pixels a side; by default what the backbone was trained with."""
    train_images: int | None = Field(default=None, ge=4)
    """A labelled budget: so many images of the training split, the same for all; by default all."""
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=64, ge=2)
    rank: int = Field(default=8, ge=1, le=512)
    views: int = Field(default=4, ge=0, le=64)
    """Augmented views an image that the linear probe keeps."""
    augment: str = "colour"
    balance: float = Field(default=0.5, ge=0.0, le=1.0)
    compute: ComputeConfig = ComputeConfig()
    checkpoint_selection: CheckpointSelection = "augrc"
    splits: SplitConfig = SplitConfig()
    promise: PromiseConfig = PromiseConfig()
    seed: int = Field(default=0, ge=0)
    """Of the splits; the runs take this seed and the following ones."""

    @field_validator("methods")
    @classmethod
    def _are_known(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in methods if name not in METHODS]
        if unknown or not methods:
            raise ValueError(f"methods are {', '.join(methods) or 'none'}; known: {', '.join(METHODS)}")
        return tuple(dict.fromkeys(methods))


def read_config(values: Mapping[str, Any]) -> CompareConfig:
    """From dotted fields; None leaves a default. `ConfigError` lists all faults."""
    return read_as(CompareConfig, None, values)


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """What a comparison found; all of it lies in the folder as well."""

    summaries: tuple[MethodSummary, ...]
    files: tuple[Path, ...]


def compare(config: CompareConfig, out: Path, console: RunConsole) -> ComparisonResult:
    """Train every method with every seed on the same splits, and write the table.

    Raises `BackboneError` before any image is read where the pretrained weights cannot be had.
    """
    family, size = _backbone(config)
    config = config.model_copy(update={"compute": config.compute.resolved()})
    out.mkdir(parents=True, exist_ok=True)
    write_yaml(out / "config.yaml", config.model_dump(mode="json"))
    console.heading("Data")
    spec = PreprocessSpec(height=size, width=size)
    data = _decode(config, spec, out, console)
    splits = make_splits(
        data.source.labels,
        data.source.groups,
        target=config.promise.target,
        seed=config.seed,
        sizes=config.splits.sizes(),
        ids=data.pixels.content,
    )
    task = _task(config, family, spec, data, splits, out)
    console.note(
        f"{len(task.train):,} training images of {size} px, {len(splits.val_select):,} to select, "
        f"{len(splits.val_calib):,} to certify, {len(splits.val_test):,} to test"
    )
    judged = _Judge(config, data, splits, spec)
    test = judged.split("val_test", splits.val_test)
    ranked: dict[str, list[Ranked]] = {}
    runs: dict[str, list[SeedFigures]] = {}
    for name in config.methods:
        console.heading(METHODS[name].title)
        for trained, seed in _seeds(name, config, task, console):
            figures, answers = judged(name, trained, seed)
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
        f"{open_weights(config.backbone).name} at {size} px on {data.source.name}: {len(task.train):,} "
        f"training images, {len(splits.val_test):,} test images, {config.seeds} seeds"
    )
    files = write_comparison(summaries, out, subtitle)
    console.heading("Result")
    for file in files:
        console.note(str(file))
    return ComparisonResult(summaries, files)


def _backbone(config: CompareConfig) -> tuple[str, int]:
    """(family, image size) of the pretrained weights."""
    if config.backbone == "random":
        raise BackboneError(
            "backbone is 'random': without pretrained weights only full training makes sense, so there is "
            "nothing to compare; name folder:PATH or hub:OWNER/NAME"
        )
    family = family_of(config.backbone)
    own = open_weights(config.backbone).config.get("image_size", 224)
    return family, config.image_size or int(own if isinstance(own, int) else own[0])


def _decode(config: CompareConfig, spec: PreprocessSpec, out: Path, console: RunConsole) -> PreparedData:
    with console.bar("Opening the images", 1) as bar:
        source = open_source(
            config.data.source,
            group=config.data.group,
            image_column=config.data.image_column,
            label_column=config.data.label_column,
            class_names=config.data.class_names,
            label_map=config.data.label_map,
            classes=config.data.classes,
            scenes=config.data.scenes,
            on_progress=lambda done, total: bar.at(done, total, "Rendering street scenes"),
        )
        bar.at(len(source), len(source))
    with console.bar("Decoding", len(source)) as bar:
        return prepare(
            source, [spec], skip_bad=config.data.skip_bad, cache=out / "pixels", advance=bar.advance
        )


def _task(
    config: CompareConfig,
    family: str,
    spec: PreprocessSpec,
    data: PreparedData,
    splits: Splits,
    out: Path,
) -> Task:
    rows = splits.train
    if config.train_images is not None and config.train_images < len(rows):
        rows = np.sort(np.random.default_rng(config.seed).permutation(rows)[: config.train_images])
    return Task(
        family=family,
        weights=config.backbone,
        spec=spec,
        n_classes=len(data.source.class_names),
        train=_labelled(data, rows),
        select=_labelled(data, splits.val_select),
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


def _labelled(data: PreparedData, rows: IntArray) -> LabelledPixels:
    pixels: NDArray[np.uint8] = np.ascontiguousarray(data.pixels.arrays[0][rows])
    return LabelledPixels(torch.from_numpy(pixels), torch.from_numpy(data.source.labels[rows]))


def _seeds(
    name: str, config: CompareConfig, task: Task, console: RunConsole
) -> Iterator[tuple[Trained, int]]:
    """Every seed's model; the first seed's is the best of the learning rates that are tried."""
    method = METHODS[name]
    rates: Sequence[float] = method.rates if config.search else method.rates[1:2]
    # A generator, so that no more than two models are held at once.
    tried = (
        _train(name, task, rate, config.seed, f"seed {config.seed}, lr {rate:g}", console) for rate in rates
    )
    cost = CRITERIA[config.checkpoint_selection].cost
    first = min(tried, key=lambda trained: cost(trained.best))
    yield first, config.seed
    for seed in range(config.seed + 1, config.seed + config.seeds):
        yield _train(name, task, first.rate, seed, f"seed {seed}", console), seed


def _train(name: str, task: Task, rate: float, seed: int, what: str, console: RunConsole) -> Trained:
    method = METHODS[name]
    with console.bar(f"{method.title}, {what}", task.loop.epochs * len(task.train)) as bar:
        trained = train_with(method, task, rate, seed, bar.at)
        bar.finish()
    return trained


class _Judge:
    """Scores each model on the three evaluation splits, one after the other."""

    def __init__(
        self, config: CompareConfig, data: PreparedData, splits: Splits, spec: PreprocessSpec
    ) -> None:
        self._config = config
        self._data = data
        self._splits = splits
        self._spec = spec

    def split(self, name: str, rows: IntArray, model: Trained | None = None) -> SplitScores:
        """One split's labels and groups, with the model's outputs where one is given."""
        source = self._data.source
        outputs = () if model is None else (outputs_on(model.model, _labelled(self._data, rows), self._spec),)
        return SplitScores(
            split=name,
            digest=self._splits.digests[name],
            engine=ENGINE,
            labels=source.labels[rows],
            stages=outputs,
            groups=None if source.groups is None else source.groups[rows],
        )

    def __call__(self, method: str, trained: Trained, seed: int) -> tuple[SeedFigures, Ranked]:
        select, calib, test = (
            self.split(name, getattr(self._splits, name), trained)
            for name in ("val_select", "val_calib", "val_test")
        )
        figures, ranked = judge(select, calib, test, self._config.promise)
        return SeedFigures(
            method=method,
            seed=seed,
            rate=trained.rate,
            seconds=trained.seconds,
            trained=trained.trained,
            parameters=trained.parameters,
            step_bytes=trained.step_bytes,
            **figures,
        ), ranked


def _sentence(figures: SeedFigures) -> str:
    return (
        f"seed {figures.seed}, lr {figures.rate:g}: accuracy {100 * figures.accuracy:.2f} %, balanced MCC "
        f"{figures.balanced_mcc:.3f}, AUGRC x 1000 {1000 * figures.augrc:.2f}, certified coverage "
        f"{100 * figures.certified_coverage:.1f} %, trained {100 * figures.trained_share:.2f} % of the "
        f"weights in {figures.seconds:.0f} s"
    )
