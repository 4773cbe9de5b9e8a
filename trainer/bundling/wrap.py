"""`demur wrap`: a certified bundle from an existing ONNX classifier and labelled images; no training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydantic import JsonValue

from bundle.images.preprocess import PreprocessSpec
from bundle.manifest import Provenance
from bundle.policy import NAME_PATTERN
from calibration.decision import STAGE_KEYS
from trainer.bundling.finish import RunResult, finish_run
from trainer.bundling.normalisation import compare_normalisations
from trainer.bundling.wrapped_model import ModelInput, stage_of
from trainer.certify.outlook import outlook
from trainer.certify.split_reach import SplitReach, split_reach
from trainer.data.config import DataConfig
from trainer.data.faults import PreparedData, prepare
from trainer.data.folder_splits import mapping_sentence, splits_by_role
from trainer.data.grouping import near_copies_in, question_of
from trainer.data.images import ImageSource, Notice
from trainer.data.opening import open_data
from trainer.data.perceptual import THUMB
from trainer.data.splits import CalibrationNeed, Splits, SplitSizes, keep_splits, make_splits
from trainer.errors import RunError
from trainer.reports.training_plan import PlannedData, TrainingPlan
from trainer.run.build import build_record
from trainer.run.console import RunConsole
from trainer.run.digests import file_digest
from trainer.run.folder import RunFolder, write_bytes, write_json
from trainer.run.lock import locked
from trainer.run.origin import origin_of
from trainer.run.promise import PromiseConfig
from trainer.run.record import RunRecord, StageRecord, library_versions
from trainer.scoring.collect import require_slices

SELECT_SHARE, TEST_SHARE = 0.125, 0.125
"""Of the units (groups or images); calibration gets the rest: selection to calibration 1 : 6."""


@dataclass(frozen=True, slots=True)
class WrapConfig:
    """The classifiers to certify, and the promise."""

    strong: ModelInput
    fast: ModelInput | None = None
    """Stage A of a cascade; None: `strong` alone"""
    promise: PromiseConfig = field(default_factory=PromiseConfig)
    name: str = "wrapped"
    """Name of the bundle"""
    seed: int = 0

    def __post_init__(self) -> None:
        if re.fullmatch(NAME_PATTERN, self.name) is None:
            raise RunError(
                f"name is {self.name!r}; it must have 1 to 64 characters of a-z, 0-9, '.', '_' and '-', and "
                "begin with a letter or a digit"
            )

    @property
    def models(self) -> tuple[ModelInput, ...]:
        """In the order A, B"""
        return (self.strong,) if self.fast is None else (self.fast, self.strong)


def wrap(config: WrapConfig, data: DataConfig, out: Path, console: RunConsole) -> RunResult:
    """`certify_models` on the images of `data`, which the record names, so that `demur bundle` finds them."""
    console.heading("Models and images")
    return certify_models(config, open_data(data, console), out, console, data=data)


def plan_wrap(config: WrapConfig, data: DataConfig, console: RunConsole) -> TrainingPlan:
    """What `wrap` would do up to its first score: models, images, splits, and what they can prove.

    Scores nothing, charges no delta, and leaves no file.
    """
    console.heading("Models and images")
    source = open_data(data, console)
    with TemporaryDirectory(prefix="demur-plan-") as folder:
        prepared = _prepare(config, source, RunFolder(Path(folder)), console, skip_bad=data.skip_bad)
    usable, splits = prepared.usable, prepared.splits
    found = TrainingPlan(
        PlannedData.of(usable.source, splits, usable.dropped, prepared.notices), prepared.reach
    )
    console.heading("Plan")
    for line in found.lines():
        console.note(line)
    return found


def certify_models(
    config: WrapConfig,
    source: ImageSource,
    out: Path,
    console: RunConsole,
    *,
    data: DataConfig | None = None,
    skip_bad: bool = False,
) -> RunResult:
    """Certify a classifier, or a cascade of a fast and a strong one, and write a bundle that serves.

    `source`: labelled images that neither model has seen in training; the models' outputs are in the order
    of its classes. `data`: how the source was opened. Raises `EngineError` for a model that no bundle can
    hold, and `RunError` if models and labels do not fit together.
    """
    run = RunFolder(out)
    with locked(out), console.logged_to(run.log):
        skip_bad = skip_bad or (data is not None and data.skip_bad)
        prepared = _prepare(config, source, run, console, skip_bad=skip_bad)
        usable, splits = prepared.usable, prepared.splits
        stages = tuple(
            _normalised(letter, model, stage, usable.source, splits, run, console)
            for letter, model, stage in zip(STAGE_KEYS, config.models, prepared.stages, strict=False)
        )
        notices = (*source.notices, *prepared.notices)
        record = RunRecord(
            name=config.name,
            task=f"Tells apart: {', '.join(source.class_names)}.",
            named_task=None if data is None else data.named_task,
            classes=source.class_names,
            stages=stages,
            promise=config.promise,
            question=question_of(notices),
            provenance=Provenance(
                source=source.name,
                config=_provenance(config, data),
                data_digests={"source": usable.source.digest()},
                split_digests=dict(splits.digests),
                versions=library_versions(),
                seed=config.seed,
                builds=(build_record(),),
                notices=tuple(notice.message for notice in notices if not notice.doubt),
            ),
        )
        _require_delta(record, usable, splits, run, console)
        return finish_run(record, usable.source, splits, run, console)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Everything that is decided before an image is scored."""

    stages: tuple[StageRecord, ...]
    usable: PreparedData
    splits: Splits
    reach: SplitReach
    notices: tuple[Notice, ...]
    """Beside those of the source"""


def _prepare(
    config: WrapConfig, source: ImageSource, run: RunFolder, console: RunConsole, *, skip_bad: bool
) -> _Prepared:
    require_slices(source, config.promise.slices)
    stages = tuple(
        _install(letter, model, source, run, console)
        for letter, model in zip(STAGE_KEYS, config.models, strict=False)
    )
    usable = _usable(source, skip_bad, run, console)
    splits = keep_splits(_split(usable, config), run.splits)
    roles = usable.source.roles
    if roles is not None:
        console.note(mapping_sentence(roles, splits.names))
    near_copies = near_copies_in(usable.source, splits.val_calib, usable.pixels.arrays[0])
    if near_copies is not None:
        console.notice(near_copies.message, near_copies.level)
    calibration_of = (lambda units: _sizes(units).val_calib) if roles is None else None
    reach = split_reach(usable.source, splits, config.promise, calibration_of)
    reach.print(console)
    return _Prepared(stages, usable, splits, reach, () if near_copies is None else (near_copies,))


def _require_delta(
    record: RunRecord, usable: PreparedData, splits: Splits, run: RunFolder, console: RunConsole
) -> None:
    """Say what is left of the calibration split's delta; `DeltaExhausted` before every image is scored."""
    content = [usable.pixels.content[row] for row in splits.val_calib.tolist()]
    if said := outlook(content, splits.digests["val_calib"], record.promise, run, origin_of(record)):
        console.note(said)


def _provenance(config: WrapConfig, data: DataConfig | None) -> dict[str, JsonValue]:
    models: dict[str, JsonValue] = {
        letter: model.model.name for letter, model in zip(STAGE_KEYS, config.models, strict=False)
    }
    if data is None:
        return models
    task: dict[str, JsonValue] = {} if data.named_task is None else {"task": data.named_task}
    return {**models, **task, "data": data.model_dump(mode="json")}


def _install(
    letter: str, model: ModelInput, source: ImageSource, run: RunFolder, console: RunConsole
) -> StageRecord:
    """Copy a model into the run folder; returns its record."""
    content = model.content()
    stage = stage_of(model, content, source)
    write_bytes(run.onnx(letter), content)
    height, width = stage.preprocess.size
    console.note(
        f"Stage {letter.upper()}: {model.model.name}, {height} x {width} pixels, its output read as "
        f"{stage.output}, {1000 * stage.cost:.1f} ms per image"
    )
    return stage.model_copy(update={"digest": file_digest(run.onnx(letter))})


def _normalised(
    letter: str,
    model: ModelInput,
    stage: StageRecord,
    source: ImageSource,
    splits: Splits,
    run: RunFolder,
    console: RunConsole,
) -> StageRecord:
    """The stage with the normalisation that fits val_select best, unless the model names its own."""
    if model.normalisation is not None or len(splits.val_select) == 0:
        return stage
    content = run.onnx(letter).read_bytes()
    found = compare_normalisations(content, model, stage, source, splits.val_select)
    console.note(f"Stage {letter.upper()}: {found.sentence()}")
    spec = model.preprocessing(stage.preprocess.size, found.best)
    return stage.model_copy(update={"preprocess": spec})


def _usable(source: ImageSource, skip_bad: bool, run: RunFolder, console: RunConsole) -> PreparedData:
    """Every image decoded once, to find the undecodable ones; only a thumbnail of the pixels is kept."""
    thumbnail = PreprocessSpec(height=2 * THUMB, width=2 * THUMB)
    with console.bar("Checking every image", len(source)) as bar:
        data = prepare(source, [thumbnail], splits=3, skip_bad=skip_bad, advance=bar.advance)
    write_json(run.faults, data.report.to_dict(dropped_paths=data.dropped))
    for line in data.report.lines():
        console.note(line)
    return data


def _sizes(units: int) -> SplitSizes:
    """Selection, calibration and test; `train` gets one unit, since nothing is trained."""
    select, test = max(1, round(SELECT_SHARE * units)), max(1, round(TEST_SHARE * units))
    return SplitSizes(select, max(1, units - select - test - 1), test)


def _split(data: PreparedData, config: WrapConfig) -> Splits:
    source, ids = data.source, data.pixels.content
    if source.roles is not None:
        need = CalibrationNeed(config.promise.target)
        return splits_by_role(
            source.labels, source.groups, source.roles, need, seed=config.seed, ids=ids, trains=False
        )
    units = len(np.unique(ids if source.groups is None else source.groups))
    return make_splits(source.labels, source.groups, _sizes(units), seed=config.seed, ids=ids)
