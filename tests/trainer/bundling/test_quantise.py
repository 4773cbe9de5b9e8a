"""int8 models: the kind of scales that suits the network, close to fp32, and the same bytes each time."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fakes.tiny_vit import TINY
from PIL import Image

from bundle.engines.contract import EngineKey
from bundle.engines.installed import usable_keys
from bundle.engines.model import open_model
from bundle.images.preprocess import PreprocessSpec
from trainer.bundling.quantise import NotQuantised, quantise
from trainer.models import ModelConfig, build_model
from trainer.models.backbones import TransformerConfig
from trainer.models.onnx_export import export_onnx

SPEC = PreprocessSpec(height=32, width=32)
MODELS = {
    "fixed": ModelConfig(name="cnn-tiny", width=8),
    "dynamic": ModelConfig(name="vit", transformer=TransformerConfig(**TINY)),
}


def images(n: int = 8) -> list[bytes]:
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(n):
        buffer = BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    return encoded


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, files = tmp_path_factory.mktemp("exported"), {}
    for scales, config in MODELS.items():
        torch.manual_seed(0)
        model = build_model(config, 32, 2, seed=1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        files[scales] = folder / f"{scales}.onnx"
        export_onnx(model.eval(), (32, 32), files[scales])
    return files


@pytest.mark.parametrize("scales", MODELS)
@pytest.mark.parametrize("engine", [key.engine for key in usable_keys() if key.precision == "int8"])
def test_the_small_model_computes_nearly_the_same(
    exported: dict[str, Path], tmp_path: Path, scales: str, engine: str
) -> None:
    out = tmp_path / "small.onnx"
    assert quantise(exported[scales], out, images(), SPEC) == scales
    batch = np.random.default_rng(1).normal(size=(6, 3, 32, 32)).astype(np.float32)
    full = open_model(exported[scales]).run(batch)
    small = open_model(out, engine=engine, precision="int8").run(batch)
    spread = np.ptp(full.logits)
    assert 0 < np.abs(small.logits - full.logits).max() < 0.25 * max(spread, 0.2)
    assert small.gate is not None


def test_the_operators_are_those_of_integers(exported: dict[str, Path], tmp_path: Path) -> None:
    for scales, marks in (("fixed", {"QuantizeLinear", "DequantizeLinear"}), ("dynamic", {"MatMulInteger"})):
        quantise(exported[scales], tmp_path / scales, images(), SPEC)
        assert marks <= {node.op_type for node in onnx.load(tmp_path / scales).graph.node}


def test_equal_models_and_images_give_equal_bytes(exported: dict[str, Path], tmp_path: Path) -> None:
    for scales in MODELS:
        for name in ("one", "two"):
            quantise(exported[scales], tmp_path / name, images(), SPEC)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_without_images_there_are_no_scales(exported: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NotQuantised, match="a few images of val_select"):
        quantise(exported["fixed"], tmp_path / "small.onnx", [], SPEC)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(NotQuantised, match=r"text\.onnx cannot be quantised"):
        quantise(tmp_path / "text.onnx", tmp_path / "small.onnx", images(), SPEC)
    assert not (tmp_path / "small.onnx").exists()


def test_every_int8_engine_here_is_tried() -> None:
    assert EngineKey("onnxruntime-cpu", "int8") in usable_keys()
