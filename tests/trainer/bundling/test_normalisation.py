"""The normalisation that a model was trained with is found on val_select."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import RED, channel_images, channel_model
from rich.console import Console

from trainer.bundling.normalisation import compare_normalisations
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import NORMALISATIONS, ModelInput, stage_of
from trainer.choices import Normalisation
from trainer.run.console import RunConsole
from trainer.run.record import read_record

IMAGES = channel_images(120)


def _model(path: Path, normalisation: Normalisation) -> ModelInput:
    """Red, with its border where this normalisation puts it."""
    (mean, _, _), (std, _, _) = NORMALISATIONS[normalisation]
    return ModelInput(channel_model(path, RED, border=(128 / 255 - mean) / std))


# The red mean of minus-one-one lies four grey levels from that of imagenet: too close for these images.
@pytest.mark.parametrize("normalisation", ["imagenet", "zero-one", "bytes"])
@pytest.mark.parametrize("swapped", [False, True])
def test_each_is_found_in_any_order_of_the_classes(
    tmp_path: Path, normalisation: Normalisation, swapped: bool
) -> None:
    model = _model(tmp_path / "model.onnx", normalisation)
    source = replace(IMAGES, labels=1 - IMAGES.labels) if swapped else IMAGES
    content = model.content()
    stage = stage_of(model, content, source)
    found = compare_normalisations(content, model, stage, source, np.arange(len(source)))
    assert found.best == normalisation
    assert found.accuracy[normalisation] > 0.9
    assert f"The normalisation {normalisation} fits best: " in found.sentence()


def test_wrapping_takes_it_and_says_so(tmp_path: Path) -> None:
    console = RunConsole(Console(file=StringIO(), width=300))
    model = _model(tmp_path / "model.onnx", "bytes")
    run = certify_models(WrapConfig(model), IMAGES, tmp_path / "run", console).run
    assert read_record(run).stages[0].preprocess.std == (1 / 255, 1 / 255, 1 / 255)
    assert "The normalisation bytes fits best" in console.console.file.getvalue()  # type: ignore[attr-defined]


def test_a_named_one_stays(tmp_path: Path, quiet: RunConsole) -> None:
    model = replace(_model(tmp_path / "model.onnx", "minus-one-one"), normalisation="zero-one")
    run = certify_models(WrapConfig(model), IMAGES, tmp_path / "run", quiet).run
    assert read_record(run).stages[0].preprocess.mean == (0.0, 0.0, 0.0)
