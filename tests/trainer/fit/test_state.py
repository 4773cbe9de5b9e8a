"""What a checkpoint holds: all that training changes, once, and none of what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.tiny_vit import save_tiny_transformer
from safetensors import safe_open

from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.checkpoint import ResumeMismatch
from trainer.fit.config import LoopConfig
from trainer.fit.loop import fit
from trainer.fit.state import mutable_tensors
from trainer.models import ModelConfig, StageModel, TransformerConfig, build_model

MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def images(n: int, seed: int) -> LabelledPixels:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 32, 32, 3), generator=generator, dtype=torch.uint8)
    return LabelledPixels(pixels, torch.arange(n) % 2)


def adapted(folder: Path) -> StageModel:
    transformer = TransformerConfig(weights=f"folder:{folder}", adapt="lora")
    return build_model(ModelConfig(name="vit", transformer=transformer), 32, 2)


def train(folder: Path, out: Path) -> StageModel:
    config = LoopConfig(epochs=1, batch_size=16, lr=1e-2)
    return fit(adapted(folder), FitData(images(48, 0), images(16, 1), MEAN_STD), config, out=out).model


def test_frozen_weights_are_not_kept_and_trained_ones_are_found_again(tmp_path: Path) -> None:
    folder = save_tiny_transformer("vit", tmp_path / "vit")
    model = train(folder, tmp_path / "run")
    with safe_open(tmp_path / "run" / "training.safetensors", framework="pt") as file:
        names = set(file.keys())
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    expected = trained | {name for name, _ in model.named_buffers()}
    assert mutable_tensors(model) == expected
    for kept in ("model", "average", "best"):
        assert {name.removeprefix(f"{kept}/") for name in names if name.startswith(f"{kept}/")} == expected
    again = train(folder, tmp_path / "run").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_batch_statistics_are_kept_with_the_weights() -> None:
    model = build_model(ModelConfig(name="cnn-tiny", width=4), 32, 2)
    assert mutable_tensors(model) == frozenset(model.state_dict())


def test_a_run_does_not_go_on_from_other_frozen_weights(tmp_path: Path) -> None:
    train(save_tiny_transformer("vit", tmp_path / "vit"), tmp_path / "run")
    other = save_tiny_transformer("vit", tmp_path / "other", seed=1)
    with pytest.raises(ResumeMismatch, match="its frozen weights"):
        train(other, tmp_path / "run")
