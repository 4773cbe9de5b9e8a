"""The normalisation of the pixels that a wrapped model was trained with, found on labelled images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bundle.engines.model import open_model
from bundle.images.decode import decode
from bundle.images.preprocess import preprocess
from calibration.scores import IntArray
from trainer.bundling.class_order import best_accuracy
from trainer.bundling.wrapped_model import NORMALISATIONS, ModelInput
from trainer.choices import Normalisation
from trainer.data.images import ImageSource
from trainer.run.record import StageRecord

MOST_TRIED = 400
"""Images on which the normalisations are compared"""
BATCH = 32


@dataclass(frozen=True, slots=True)
class NormalisationFit:
    """Accuracy of a model with each normalisation."""

    accuracy: Mapping[Normalisation, float]
    images: int

    @property
    def best(self) -> Normalisation:
        """The one with the highest accuracy; of equal ones the first of `NORMALISATIONS`."""
        return max(self.accuracy, key=lambda name: self.accuracy[name])

    def sentence(self) -> str:
        others = ", ".join(
            f"{name} {100 * value:.1f} %" for name, value in self.accuracy.items() if name != self.best
        )
        return (
            f"The normalisation {self.best} fits best: {100 * self.accuracy[self.best]:.1f} % of "
            f"{self.images} images of val_select are right ({others}); --normalisation names another"
        )


def compare_normalisations(
    content: bytes, model: ModelInput, stage: StageRecord, source: ImageSource, rows: IntArray
) -> NormalisationFit:
    """Run the model on images of `rows` with every normalisation.

    `rows`: rows of val_select, whose labels are free to choose by. An output that is no number counts as
    wrong. The classes may be in any order, so that a wrong one is not taken for a wrong normalisation.
    """
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_TRIED).astype(np.int64))]
    engine = open_model(content, image_size=stage.preprocess.size, output=stage.output)
    pixels = [decode(source.read(row), target=stage.preprocess.size) for row in chosen.tolist()]
    accuracy: dict[Normalisation, float] = {}
    for name in NORMALISATIONS:
        spec = model.preprocessing(stage.preprocess.size, name)
        outputs = [
            engine.run(np.stack([preprocess(image, spec) for image in pixels[start : start + BATCH]])).logits
            for start in range(0, len(pixels), BATCH)
        ]
        logits = np.concatenate(outputs)
        usable = np.isfinite(logits).all(axis=1)
        answers, labels = logits[usable].argmax(axis=1), source.labels[chosen][usable]
        right = best_accuracy(answers, labels, len(source.class_names)) * usable.sum()
        accuracy[name] = float(right / len(chosen))
    return NormalisationFit(accuracy, len(chosen))
