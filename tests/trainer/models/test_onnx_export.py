from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from bundle.engines.model import open_model
from trainer.models import HeadOutputs, ModelConfig, build_model
from trainer.models.onnx_export import ExportMismatch, export_onnx


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    model = build_model(ModelConfig(name="cnn-tiny", width=8), 32, 3, seed=1)
    for _ in range(3):
        model.train()(torch.randn(16, 3, 32, 32))
    path = tmp_path_factory.mktemp("export") / "stage_a" / "model.onnx"
    assert export_onnx(model, (32, 32), path) < 1e-4
    return model.eval(), path


@pytest.mark.parametrize("batch", [1, 5])
def test_the_file_computes_what_torch_computes(exported: tuple[nn.Module, Path], batch: int) -> None:
    model, path = exported
    pixels = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(batch))
    found = open_model(path).run(pixels.numpy())
    with torch.no_grad():
        expected = model(pixels)
    np.testing.assert_allclose(found.logits, expected.logits.numpy(), atol=1e-4)
    assert found.gate is not None
    np.testing.assert_allclose(found.gate, expected.gate.numpy(), atol=1e-4)


def test_the_file_names_nothing_of_this_machine(exported: tuple[nn.Module, Path]) -> None:
    content = exported[1].read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content
    outputs = [output.name for output in onnx.load(exported[1]).graph.output]
    assert outputs == ["logits", "gate"]


class _Drifting(nn.Module):
    """A model that computes something else at every call, as a wrongly exported operator would."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.calls = 0

    def forward(self, pixels: Tensor) -> HeadOutputs:
        if not torch.compiler.is_exporting():
            self.calls += 1
        logits = self.layer(pixels.mean(dim=(2, 3))) + float(self.calls)
        return HeadOutputs(logits, logits[:, 0], logits)


def test_a_file_that_differs_is_refused_and_removed(tmp_path: Path) -> None:
    with pytest.raises(ExportMismatch, match=r"model\.onnx differs from torch by"):
        export_onnx(_Drifting(), (16, 16), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
