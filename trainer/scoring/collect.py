"""Scores of a split, computed as the service does: from the encoded bytes, by the exported models."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bundle.engines.contract import DEFAULT_KEY, EngineKey
from bundle.engines.model import open_model
from bundle.runner import CascadeRunner, CascadeStage
from calibration.decision import STAGE_KEYS
from calibration.scores import IntArray, StageOutputs
from trainer.data.images import Column, ImageSource
from trainer.data.labels import as_text
from trainer.data.splits import Splits
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.record import RunRecord, check_models
from trainer.scoring.split_scores import SplitScores, as_certified, require_finite, save_scores

CHUNK = 256
"""Images that are read at a time; bounds memory."""
MAX_SLICE_VALUES = 24
"""Distinct values up to which a metadata column can be a slice."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One split of a source: its rows and its digest."""

    split: str
    indices: IntArray
    digest: str
    slices: Mapping[str, Column] = field(default_factory=dict)
    """Metadata columns of the whole source to keep beside the scores."""


def open_runner(record: RunRecord, run: RunFolder, key: EngineKey = DEFAULT_KEY) -> CascadeRunner:
    """The exported stages of `run` on one engine; raises `DamagedFile` if they have changed."""
    check_models(record, run, key.precision)
    cores = os.cpu_count() or 1
    stages = [
        CascadeStage(
            stage.preprocess,
            open_model(
                run.onnx(name, key.precision),
                image_size=stage.preprocess.size,
                output=stage.output,
                engine=key.engine,
                precision=key.precision,
                calls=cores,
            ),
            stage.macs,
        )
        for name, stage in zip(STAGE_KEYS, record.stages, strict=False)
    ]
    return CascadeRunner(stages, threads=cores)


def slice_columns(source: ImageSource) -> dict[str, Column]:
    """Metadata columns whose values can be told apart in reports and promises."""
    return {
        name: values
        for name, values in source.metadata.items()
        if values.dtype.kind in "US" and 2 <= len(np.unique(values)) <= MAX_SLICE_VALUES
    }


def require_slices(source: ImageSource, column: str) -> None:
    """`RunError` where nothing can be promised for each value of `column`; empty: nothing is asked for."""
    if column and column not in (known := slice_columns(source)):
        raise RunError(
            f"slices is {column!r}; {source.name} can be told apart by "
            f"{', '.join(sorted(known)) or 'no metadata column'} (columns of text with 2 to "
            f"{MAX_SLICE_VALUES} values)"
        )


def score_split(
    source: ImageSource,
    splits: Splits,
    name: str,
    runner: CascadeRunner,
    run: RunFolder,
    console: RunConsole,
    *,
    same_models: bool = False,
) -> SplitScores:
    """Score one split with a progress bar and keep the scores in `run`. Raises `ScoresNotFinite`.

    `same_models`: scores that `run` holds are of these models, and stay if they are the same up to their last
    digits.
    """
    indices, slices = getattr(splits, name), slice_columns(source)
    with console.bar(f"Scoring {name}", len(indices)) as bar:
        scores = collect_scores(
            source, Rows(name, indices, splits.digests[name], slices), runner, advance=bar.advance
        )
    require_finite(scores)
    scores = as_certified(scores, run.scores(name)) if same_models else scores
    save_scores(scores, run.scores(name))
    return scores


def collect_scores(
    source: ImageSource,
    rows: Rows,
    runner: CascadeRunner,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> SplitScores:
    """Raw outputs of every stage on the images of one split; `advance` gets the number of images just done.

    Raises `ImageError` for an image that cannot be decoded; such images are removed before the split.
    """
    parts: list[list[StageOutputs]] = []
    content: list[str] = []
    for start in range(0, len(rows.indices), CHUNK):
        chunk = rows.indices[start : start + CHUNK]
        images = [source.read(int(row)) for row in chunk]
        content += [hashlib.sha256(image).hexdigest() for image in images]
        parts.append(runner.score_all(images))
        advance(len(chunk))
    return SplitScores(
        split=rows.split,
        digest=rows.digest,
        engine=engine_name(runner),
        labels=source.labels[rows.indices],
        stages=tuple(_joined(runner, parts, index) for index in range(len(runner.stages))),
        groups=None if source.groups is None else source.groups[rows.indices],
        paths=tuple(source.paths[int(row)] for row in rows.indices),
        slices={name: _texts(column, rows.indices) for name, column in rows.slices.items()},
        content=tuple(content),
    )


def engine_name(runner: CascadeRunner) -> str:
    """Engine and precision of a cascade; a certificate holds for all stages together."""
    return " + ".join(dict.fromkeys(stage.model.name for stage in runner.stages))


def _joined(runner: CascadeRunner, parts: Sequence[Sequence[StageOutputs]], index: int) -> StageOutputs:
    engine = runner.stages[index].model
    if not parts:
        return StageOutputs(np.empty((0, engine.classes)), np.empty(0) if engine.has_gate else None)
    gates = [part[index].gate for part in parts]
    present = [gate for gate in gates if gate is not None]
    return StageOutputs(
        np.concatenate([part[index].logits for part in parts]), np.concatenate(present) if present else None
    )


def _texts(column: Column, rows: IntArray) -> NDArray[np.str_]:
    return np.asarray(as_text(column[rows]), dtype=np.str_)
