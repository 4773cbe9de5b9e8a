"""A wrapped model whose outputs are in another order than the classes is refused before it costs delta."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import RED, channel_images, channel_model

from calibration.scores import StageOutputs
from trainer.bundling.class_order import WrongClassOrder, check_class_order
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import ModelInput
from trainer.run.console import RunConsole
from trainer.scoring.split_scores import SplitScores


def _scores(outputs: np.ndarray, labels: np.ndarray, classes: int) -> SplitScores:
    """Scores whose most probable output is `outputs`."""
    return SplitScores(
        "val_select", "0" * 64, "x/fp32", labels, (StageOutputs(np.eye(classes)[outputs], None),)
    )


def test_numbers_sorted_as_text_are_found_and_named() -> None:
    labels = np.repeat(np.arange(12), 20)
    as_text = sorted(map(str, range(12)))
    outputs = np.array([as_text.index(str(label)) for label in labels])
    with pytest.raises(
        WrongClassOrder, match=r"100 % in the order 0,1,10,11,2,3.*--class-names 0,1,10,11,2,3"
    ):
        check_class_order(_scores(outputs, labels, 12), [str(k) for k in range(12)])


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_the_given_order_passes_whatever_the_accuracy(share: float) -> None:
    labels = np.repeat(np.arange(3), 100)
    wrong = np.random.default_rng(0).random(300) < share
    check_class_order(_scores(np.where(wrong, (labels + 1) % 3, labels), labels, 3), "abc")


def test_a_model_that_guesses_has_no_order() -> None:
    rng = np.random.default_rng(1)
    for classes in (2, 3, 12):
        labels, outputs = rng.integers(0, classes, (2, 400))
        check_class_order(_scores(outputs, labels, classes), [str(k) for k in range(classes)])
    check_class_order(_scores(labels[:0], labels[:0], 2), "ab")


def test_wrapping_stops_before_anything_is_charged(tmp_path: Path, quiet: RunConsole) -> None:
    source = channel_images(400)
    source = replace(source, labels=1 - source.labels, class_names=("busy", "calm"))
    model = ModelInput(channel_model(tmp_path / "red.onnx", RED), normalisation="zero-one")
    with pytest.raises(WrongClassOrder, match="--class-names calm,busy"):
        certify_models(WrapConfig(model), source, tmp_path / "run", quiet)
    assert not (tmp_path / "run" / "ledger.json").exists()
