"""Runs of a comparison: every method with every seed, trained, scored and stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bundle.images.preprocess import PreprocessSpec
from calibration.scores import IntArray
from trainer.compare.cells import Cells
from trainer.compare.config import CompareConfig
from trainer.compare.figures import AnswersOnTest, SeedFigures, figures_of
from trainer.data.faults import PreparedData
from trainer.data.splits import Splits
from trainer.fit.batches import LabelledPixels
from trainer.fit.checkpoint_selection import CRITERIA
from trainer.run.console import RunConsole
from trainer.scoring.split_scores import SplitScores, require_finite
from trainer.transfer.methods import METHODS, Task, Trained, outputs_on, train_with

ENGINE = "torch/fp32"


def run_seeds(
    name: str,
    config: CompareConfig,
    task: Task,
    scorer: Scorer,
    cells: Cells,
    console: RunConsole,
) -> Iterator[tuple[SeedFigures, AnswersOnTest]]:
    """Figures of every seed, stored or computed now; the first seed decides on the learning rate."""
    seeds = range(config.seed, config.seed + config.seeds)
    kept = cells.done(name, seeds[0])
    if kept is None:
        kept = scorer(name, _first(name, config, task, cells, console), seeds[0])
        cells.keep(*kept)
    yield kept
    rate = kept[0].rate
    for seed in seeds[1:]:
        kept = cells.done(name, seed)
        if kept is None:
            kept = scorer(name, _train(name, task, rate, seed, f"seed {seed}", console), seed)
            cells.keep(*kept)
        yield kept


def _first(name: str, config: CompareConfig, task: Task, cells: Cells, console: RunConsole) -> Trained:
    """Model of the first seed at the rate that val_select ranks best."""
    method = METHODS[name]
    rates: Sequence[float] = method.rates if config.search else method.rates[1:2]
    cost = CRITERIA[config.checkpoint_selection].cost
    best: Trained | None = None
    for rate in rates:
        if rate in cells.tried(name):
            continue
        trained = _train(name, task, rate, config.seed, f"seed {config.seed}, lr {rate:g}", console)
        cells.keep_tried(name, rate, trained.best)
        if best is None or cost(trained.best) < cost(best.best):
            best = trained
    tried = cells.tried(name)
    chosen = min(rates, key=lambda rate: cost(tried[rate]))
    if best is None or best.rate != chosen:
        # Tried before an interruption, so the model is lost; the same seed trains the same model again.
        best = _train(name, task, chosen, config.seed, f"seed {config.seed}, lr {chosen:g}", console)
    return best


def _train(name: str, task: Task, rate: float, seed: int, label: str, console: RunConsole) -> Trained:
    method = METHODS[name]
    with console.bar(f"{method.title}, {label}", task.loop.epochs * len(task.train)) as bar:
        trained = train_with(method, task, rate, seed, bar.at)
        bar.finish()
    return trained


def labelled(data: PreparedData, rows: IntArray) -> LabelledPixels:
    pixels: NDArray[np.uint8] = np.ascontiguousarray(data.pixels.arrays[0][rows])
    return LabelledPixels(torch.from_numpy(pixels), torch.from_numpy(data.source.labels[rows]))


class Scorer:
    """Scores each model on the three evaluation splits, one after the other."""

    def __init__(
        self, config: CompareConfig, data: PreparedData, splits: Splits, spec: PreprocessSpec
    ) -> None:
        self._config = config
        self._data = data
        self._splits = splits
        self._spec = spec

    def split(self, name: str, rows: IntArray, model: Trained | None = None) -> SplitScores:
        """Labels and groups of one split, with the outputs of a model if one is given."""
        source = self._data.source
        outputs = () if model is None else (outputs_on(model.model, labelled(self._data, rows), self._spec),)
        return require_finite(
            SplitScores(
                split=name,
                digest=self._splits.digests[name],
                engine=ENGINE,
                labels=source.labels[rows],
                stages=outputs,
                groups=None if source.groups is None else source.groups[rows],
                paths=tuple(source.paths[row] for row in rows.tolist()),
                content=tuple(self._data.pixels.content[row] for row in rows.tolist()),
            )
        )

    def __call__(self, method: str, trained: Trained, seed: int) -> tuple[SeedFigures, AnswersOnTest]:
        select, calib, test = (
            self.split(name, getattr(self._splits, name), trained)
            for name in ("val_select", "val_calib", "val_test")
        )
        figures, answers = figures_of(select, calib, test, self._config.promise)
        return SeedFigures(
            method=method,
            seed=seed,
            rate=trained.rate,
            seconds=trained.seconds,
            trained=trained.trained,
            parameters=trained.parameters,
            step_bytes=trained.step_bytes,
            **figures,
        ), answers
