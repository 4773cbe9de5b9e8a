"""An existing ONNX classifier as a stage: the meaning of its output, its preprocessing and its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bundle.choices import OutputKind, ResizeMode
from bundle.engines.contract import ModelUnfit
from bundle.engines.model import OnnxModel, open_model
from bundle.engines.outputs import OutputUnfit
from bundle.images.decode import decode
from bundle.images.errors import ImageError
from bundle.images.preprocess import PreprocessSpec, preprocess
from trainer.bundling.model_outputs import read_with_output
from trainer.choices import Normalisation
from trainer.data.images import ImageSource
from trainer.errors import DataError, RunError
from trainer.run.record import StageRecord

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

SAMPLE = 24
"""Images that show the meaning of the output"""
TIMED_RUNS = 9


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One ONNX file and its preprocessing."""

    model: Path
    image_size: tuple[int, int] | None = None
    """(height, width); None: stated by the model"""
    output: OutputKind | None = None
    """None: derived from the values on a few images"""
    normalisation: Normalisation | None = None
    """None: the one that fits val_select best"""
    resize: ResizeMode = "stretch"
    output_name: str | None = None
    """Name of the output that tells the classes apart; None: the only one, or `logits`"""

    def content(self) -> bytes:
        """The model as one file, with the chosen output. Raises `OutputUnknown` and `ModelRefused`."""
        return read_with_output(self.model, self.output_name)

    def preprocessing(
        self, image_size: tuple[int, int], normalisation: Normalisation | None = None
    ) -> PreprocessSpec:
        """Preprocessing to (height, width), by this normalisation or the model's own."""
        mean, std = NORMALISATIONS[normalisation or self.normalisation or "imagenet"]
        height, width = image_size
        return PreprocessSpec(height=height, width=width, mean=mean, std=std, resize=self.resize)


def stage_of(model: ModelInput, content: bytes, source: ImageSource) -> StageRecord:
    """The model as a stage whose cost is its time per image, in seconds; `content`: the ONNX file.

    Raises `EngineError` for a model that no bundle can hold, and `RunError` if it does not have one output
    per class of the source.
    """
    output = model.output or find_output(model, content, source)
    engine = open_model(content, image_size=model.image_size, output=output)
    _check_classes(engine, source, model.model)
    return StageRecord(
        preprocess=model.preprocessing(engine.image_size),
        output=output,
        macs=0.0,
        parameters=0,
        cost=_seconds(engine),
    )


def find_output(model: ModelInput, content: bytes, source: ImageSource) -> OutputKind:
    """The meaning of the model's main output, by its values on a few images.

    Rows that sum to 1 are probabilities, other tables logits. A single number is a probability of class 1
    if it stays between 0 and 1 on every image, and a logit otherwise.
    """
    for output in ("probabilities", "binary_probability", "binary_logit"):
        try:
            engine = open_model(content, image_size=model.image_size, output=output)
            engine.run(_sample(model, engine.image_size, source))
        except (ModelUnfit, OutputUnfit):
            continue
        return output
    return "logits"


def _sample(model: ModelInput, image_size: tuple[int, int], source: ImageSource) -> NDArray[np.float32]:
    """A batch of a few images of the source, preprocessed for the model: [<= SAMPLE, 3, H, W]."""
    spec = model.preprocessing(image_size)
    batch = []
    for row in np.unique(np.linspace(0, len(source) - 1, SAMPLE).astype(np.int64)).tolist():
        try:
            batch.append(preprocess(decode(source.read(row), target=spec.size), spec))
        except (ImageError, DataError):  # reported with all other faults of the data
            continue
    if not batch:
        raise RunError(f"none of {SAMPLE} images tried in {source.name} can be decoded")
    return np.stack(batch)


def _check_classes(engine: OnnxModel, source: ImageSource, model: Path) -> None:
    if engine.classes != len(source.class_names):
        raise RunError(
            f"{model.name} tells {engine.classes} classes apart, the labels {len(source.class_names)} "
            f"({', '.join(source.class_names)}); name the classes in the model's order with --class-names"
        )


def _seconds(engine: OnnxModel) -> float:
    """Median time of one image, after a warm-up."""
    image = np.zeros((1, 3, *engine.image_size), dtype=np.float32)
    times = []
    for _ in range(TIMED_RUNS):
        started = perf_counter()
        engine.run(image)
        times.append(perf_counter() - started)
    return median(times[1:])
