"""Outputs that are no finite numbers are refused with the name of an image, before anything is charged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.channel_models import SIDE, channel_images
from onnx import TensorProto, helper, numpy_helper

from calibration.scores import StageOutputs
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import ModelInput
from trainer.run.console import RunConsole
from trainer.scoring.split_scores import (
    ScoresNotFinite,
    SplitScores,
    load_scores,
    require_finite,
    save_scores,
)


def _root_model(path: Path) -> Path:
    """Logits 0 and sqrt(20 red - 8): NaN on images with little red."""
    weights = np.zeros((3, 2), dtype=np.float32)
    weights[0, 1] = 20.0
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["colour"]),
            helper.make_node("Gemm", ["colour", "weights", "bias"], ["raw"]),
            helper.make_node("Sqrt", ["raw"], ["out"]),
        ],
        "root",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([0.0, -8.0], dtype=np.float32), "bias"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_model_that_gives_nan_costs_no_delta(tmp_path: Path, quiet: RunConsole) -> None:
    model = ModelInput(_root_model(tmp_path / "root.onnx"), output="logits", normalisation="zero-one")
    with pytest.raises(
        ScoresNotFinite, match=r"not a finite number on \d+ of 50 images .*, the first \d+\.png"
    ):
        certify_models(WrapConfig(model), channel_images(400), tmp_path / "run", quiet)
    assert not (tmp_path / "run" / "ledger.json").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["logits", "gate"])
def test_each_kind_is_found_in_each_output_and_on_disk(tmp_path: Path, value: float, where: str) -> None:
    outputs = StageOutputs(np.zeros((3, 2)), np.zeros(3))
    getattr(outputs, where)[1] = value
    scores = SplitScores(
        "val_calib", "0" * 64, "x/fp32", np.zeros(3, np.int64), (outputs,), paths=("a", "b", "c")
    )
    with pytest.raises(ScoresNotFinite, match=r"stage A is not a finite number on 1 of 3 .* the first b;"):
        require_finite(scores)
    save_scores(scores, tmp_path / "scores.parquet")
    with pytest.raises(ScoresNotFinite):
        load_scores(tmp_path / "scores.parquet")
