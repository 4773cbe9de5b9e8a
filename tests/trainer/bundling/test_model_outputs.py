"""A model with several outputs keeps the one that is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.channel_models import GREEN, RED, SIDE, channel_images, channel_model
from onnx import TensorProto, helper

from bundle.engines.model import open_model
from bundle.verify import verify_bundle
from trainer.bundling.model_outputs import OutputUnknown, output_names, read_with_output
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import ModelInput
from trainer.run.console import RunConsole

BATCH = np.random.default_rng(0).random((4, 3, SIDE, SIDE), dtype=np.float32)


def _with_two_outputs(path: Path) -> Path:
    """The red model with its pooled colours as a first output."""
    channel_model(path, RED)
    model = onnx.load(path)
    model.graph.output.insert(0, helper.make_tensor_value_info("colour", TensorProto.FLOAT, ["batch", 3]))
    onnx.save(model, path)
    return path


def test_one_of_several_outputs_is_kept(tmp_path: Path) -> None:
    path = _with_two_outputs(tmp_path / "two.onnx")
    assert output_names(path.read_bytes()) == ("colour", "out")
    with pytest.raises(OutputUnknown, match=r"has the outputs colour, out; name the one .* --output-name"):
        read_with_output(path)
    with pytest.raises(OutputUnknown, match="has no output 'logit'; its outputs are colour, out"):
        read_with_output(path, "logit")
    content = read_with_output(path, "out")
    assert [output.name for output in onnx.load_from_string(content).graph.output] == ["out"]
    whole = channel_model(tmp_path / "whole.onnx", RED).read_bytes()
    np.testing.assert_array_equal(open_model(content).run(BATCH).logits, open_model(whole).run(BATCH).logits)


def test_such_models_are_wrapped(tmp_path: Path, quiet: RunConsole) -> None:
    strong = ModelInput(_with_two_outputs(tmp_path / "two.onnx"), normalisation="zero-one", output_name="out")
    fast = ModelInput(channel_model(tmp_path / "green.onnx", GREEN), normalisation="zero-one")
    result = certify_models(WrapConfig(strong, fast), channel_images(60), tmp_path / "run", quiet)
    assert len(verify_bundle(result.run.bundle).stages) == 2
