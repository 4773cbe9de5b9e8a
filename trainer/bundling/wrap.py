"""`demur wrap`: an existing ONNX classifier and labelled images become a certified bundle; no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from bundle.choices import OutputKind, ResizeMode
from bundle.engines.model import ModelUnfit, OnnxEngine, open_engine
from bundle.engines.outputs import OutputUnfit
from bundle.images.decode import ImageError, decode
from bundle.images.preprocess import PreprocessSpec, preprocess
from bundle.manifest import Provenance
from calibration.certificate import RiskTarget
from trainer.bundling.finish import RunResult, prove_and_pack
from trainer.choices import Normalisation
from trainer.data.faults import PreparedData, prepare
from trainer.data.grouping import near_copies_in
from trainer.data.images import ImageSource
from trainer.data.perceptual import THUMB
from trainer.data.splits import Splits, SplitSizes, make_splits
from trainer.errors import DataError, RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, write_bytes, write_json
from trainer.run.promise import PromiseConfig
from trainer.run.record import RunRecord, StageRecord, library_versions
from trainer.scoring.collect import require_slices

Triple = tuple[float, float, float]

NORMALISATIONS: Mapping[Normalisation, tuple[Triple, Triple]] = MappingProxyType(
    {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "minus-one-one": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "zero-one": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "bytes": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    }
)
"""Mean and standard deviation, in units of 1 = white; `bytes`: the model takes 0..255."""

SELECT_SHARE, TEST_SHARE = 0.125, 0.125
"""Of the units (groups or images); calibration gets the rest: selection to calibration 1 : 6."""
PROBES = 24
"""Images on which the meaning of the outputs is found out"""
TIMED_RUNS = 9


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One ONNX file and what it expects."""

    model: Path
    image_size: tuple[int, int] | None = None
    """(height, width); None: stated by the model"""
    output: OutputKind | None = None
    """None: found out from a few images"""
    normalisation: Normalisation = "imagenet"
    resize: ResizeMode = "stretch"


def wrap(
    source: ImageSource,
    strong: ModelInput,
    out: Path,
    console: RunConsole,
    *,
    fast: ModelInput | None = None,
    promise: PromiseConfig | None = None,
    name: str = "wrapped",
    data: Mapping[str, JsonValue] | None = None,
    skip_bad: bool = False,
    seed: int = 0,
) -> RunResult:
    """Certify a classifier, or a cascade of a fast and a strong one, and write a bundle that serves.

    `source`: labelled images that neither model saw in training. The models tell the classes apart in
    the order of the source's labels. `data`: how the source was opened, as `trainer.config.DataConfig`
    writes itself, so that further engines can be certified later without naming it again. Raises
    `EngineError` for a model that no bundle can hold, and `RunError` where model and labels do not go
    together.
    """
    run, promise = RunFolder(out), promise or PromiseConfig(seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    console.heading("Models and images")
    for notice in source.notices:
        (console.warn if notice.level == "warning" else console.note)(notice.message)
    require_slices(source, promise.slices)
    models = (strong,) if fast is None else (fast, strong)
    stages = []
    for letter, model in zip("ab", models, strict=False):
        stage, engine = _stage(model, source)
        _check_classes(engine, source, model.model)
        write_bytes(run.onnx(letter), model.model.read_bytes())
        stages.append(stage)
        height, width = engine.image_size
        console.note(
            f"Stage {letter.upper()}: {model.model.name}, {height} x {width} pixels, its output read as "
            f"{stage.output}, {1000 * stage.cost:.1f} ms an image"
        )
    usable = _usable(source, skip_bad, run, console)
    splits = _split(usable, promise.target, seed)
    alike = near_copies_in(usable.source, splits.val_calib, usable.pixels.arrays[0])
    notices = tuple(notice.message for notice in (*source.notices, alike) if notice is not None)
    if alike is not None:
        (console.warn if alike.level == "warning" else console.note)(alike.message)
    write_json(run.splits, splits.to_dict())
    record = RunRecord(
        name=name,
        task=f"Tells apart: {', '.join(source.class_names)}.",
        classes=source.class_names,
        stages=tuple(stages),
        promise=promise,
        provenance=Provenance(
            source=source.name,
            config={
                **{letter: model.model.name for letter, model in zip("ab", models, strict=False)},
                **({} if data is None else {"data": dict(data)}),
            },
            data_digests={"source": usable.source.digest()},
            split_digests=dict(splits.digests),
            versions=library_versions(),
            seed=seed,
            notices=notices,
        ),
    )
    return prove_and_pack(record, usable.source, splits, run, console)


def _stage(model: ModelInput, source: ImageSource) -> tuple[StageRecord, OnnxEngine]:
    """Open the model, find out what its outputs mean, and time it."""
    output = model.output or find_output(model, source)
    engine = open_engine(model.model, image_size=model.image_size, output=output)
    spec = _preprocessing(model, engine.image_size)
    return StageRecord(preprocess=spec, output=output, macs=0.0, parameters=0, cost=_seconds(engine)), engine


def find_output(model: ModelInput, source: ImageSource) -> OutputKind:
    """What the model's main output means, by its values on a few images.

    Rows that sum to 1 are probabilities, other tables logits. A single number is a probability of
    class 1 where it stays between 0 and 1 on every image, and a logit otherwise.
    """
    for output in ("probabilities", "binary_probability", "binary_logit"):
        try:
            engine = open_engine(model.model, image_size=model.image_size, output=output)
            engine.run(_probe(model, engine.image_size, source))
        except (ModelUnfit, OutputUnfit):
            continue
        return output
    return "logits"


def _probe(model: ModelInput, image_size: tuple[int, int], source: ImageSource) -> NDArray[np.float32]:
    """A batch of a few images of the source, as the model will get them."""
    spec = _preprocessing(model, image_size)
    batch = []
    for row in np.unique(np.linspace(0, len(source) - 1, PROBES).astype(np.int64)).tolist():
        try:
            batch.append(preprocess(decode(source.read(row), target=spec.size), spec))
        except (ImageError, DataError):  # told with all other faults of the data
            continue
    if not batch:
        raise RunError(f"none of {PROBES} images tried in {source.name} can be decoded")
    return np.stack(batch)


def _preprocessing(model: ModelInput, image_size: tuple[int, int]) -> PreprocessSpec:
    mean, std = NORMALISATIONS[model.normalisation]
    height, width = image_size
    return PreprocessSpec(height=height, width=width, mean=mean, std=std, resize=model.resize)


def _seconds(engine: OnnxEngine) -> float:
    """Median time of one image, after a warm-up."""
    image = np.zeros((1, 3, *engine.image_size), dtype=np.float32)
    times = []
    for _ in range(TIMED_RUNS):
        started = perf_counter()
        engine.run(image)
        times.append(perf_counter() - started)
    return median(times[1:])


def _check_classes(engine: OnnxEngine, source: ImageSource, model: Path) -> None:
    if engine.classes != len(source.class_names):
        raise RunError(
            f"{model.name} tells {engine.classes} classes apart, the labels {len(source.class_names)} "
            f"({', '.join(source.class_names)}); name the classes in the model's order with --class-names"
        )


def _usable(source: ImageSource, skip_bad: bool, run: RunFolder, console: RunConsole) -> PreparedData:
    """Every image decoded once, to find those that cannot be; of the pixels only a thumbnail is kept."""
    thumbnail = PreprocessSpec(height=2 * THUMB, width=2 * THUMB)
    with console.bar("Checking every image", len(source)) as bar:
        data = prepare(source, [thumbnail], splits=3, skip_bad=skip_bad, advance=bar.advance)
    write_json(run.faults, data.report.to_dict(dropped_paths=data.dropped))
    for line in data.report.lines():
        console.note(line)
    return data


def _split(data: PreparedData, target: RiskTarget, seed: int) -> Splits:
    """Selection, calibration and test; one unit is left over for the training that does not happen."""
    units = len(np.unique(data.pixels.content if data.source.groups is None else data.source.groups))
    select, test = max(1, round(SELECT_SHARE * units)), max(1, round(TEST_SHARE * units))
    return make_splits(
        data.source.labels,
        data.source.groups,
        target=target,
        seed=seed,
        sizes=SplitSizes(select, max(1, units - select - test - 1), test),
        ids=data.pixels.content,
    )
