"""A pretrained stage through the training loop: only what is free moves; then it is kept and merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.tiny_vit import save_tiny_transformer
from rich.console import Console

from trainer.config import ConfigError, load_config
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.fit.config import LoopConfig
from trainer.fit.loop import Callbacks, fit
from trainer.models import ModelConfig, StageModel, TransformerConfig, build_model, n_parameters
from trainer.models.adapters import ADAPTER_FILES
from trainer.models.pretrained import BackboneError
from trainer.pipeline import train as run_training
from trainer.run.console import RunConsole
from trainer.transfer.merging import merge_for_export

MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LOOP = LoopConfig(epochs=2, batch_size=16, lr=5e-3, ema_decay=0.9)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_transformer("dinov3", tmp_path_factory.mktemp("weights") / "dinov3")


def stage(weights: Path, adapt: str) -> StageModel:
    transformer = TransformerConfig(weights=f"folder:{weights}", adapt=adapt)
    return build_model(ModelConfig(name="dinov3", transformer=transformer), 32, 2, seed=1)


def noise(n: int, seed: int) -> LabelledPixels:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 32, 32, 3), generator=generator, dtype=torch.uint8)
    return LabelledPixels(pixels, torch.arange(n) % 2)


DATA = FitData(noise(64, 1), noise(32, 2), MEAN_STD)


@pytest.mark.parametrize("adapt", ["lora", "dora", "head", "full"])
def test_training_moves_what_is_free_and_nothing_else(weights: Path, adapt: str) -> None:
    model = stage(weights, adapt)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    fit(model, DATA, LOOP)
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved <= free
    assert {"classifier.weight", "auxiliary.weight"} <= moved
    assert any("lora_B" in name for name in moved) is (adapt in ("lora", "dora"))
    assert any("magnitude" in name for name in moved) is (adapt == "dora")


def test_a_killed_adapter_run_resumes_to_the_same_weights(weights: Path, tmp_path: Path) -> None:
    whole = fit(stage(weights, "lora"), DATA, LOOP)

    def kill(_: EpochMetrics) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(stage(weights, "lora"), DATA, LOOP, out=tmp_path, callbacks=Callbacks(on_epoch=kill))
    resumed = fit(stage(weights, "lora"), DATA, LOOP, out=tmp_path)
    assert resumed.history == whole.history
    pairs = zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for (_, a), b in pairs)


def test_a_trained_adapter_is_reported_kept_and_merged(weights: Path, tmp_path: Path) -> None:
    model = fit(stage(weights, "dora"), DATA, LOOP).model
    free, every = n_parameters(model, trainable_only=True), n_parameters(model)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        before = model(x).logits
        merged = merge_for_export(model, tmp_path / "adapter")
        torch.testing.assert_close(model(x).logits, before, atol=1e-5, rtol=1e-5)
    assert merged is not None
    assert merged.share == free / every
    assert merged.to_dict()["trained_share"] == free / every
    assert f"{100 * free / every:.2f} %" in merged.sentence("B")
    assert sorted(file.name for file in (tmp_path / "adapter").iterdir()) == sorted(ADAPTER_FILES)
    assert not any("lora" in name for name in model.state_dict())


def test_full_training_leaves_no_adapter_and_random_weights_nothing_to_tell(
    weights: Path, tmp_path: Path
) -> None:
    merged = merge_for_export(stage(weights, "full"), tmp_path / "adapter")
    assert merged is not None
    assert not merged.adapter
    assert merged.share > 0.99
    assert not (tmp_path / "adapter").exists()
    assert merge_for_export(build_model(ModelConfig(name="cnn-tiny", width=4), 32, 2), tmp_path) is None


def test_a_config_file_chooses_the_backbone(weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        f"""
recipe:
  stage_b:
    image_size: 32
    model: {{name: dinov3, transformer: {{weights: "folder:{weights}", adapt: lora, adapter: {{rank: 2}}}}}}
    loop: {{epochs: 1}}
  stage_a:
    image_size: 32
    model: {{name: cnn-tiny, width: 8}}
    loop: {{epochs: 1}}
"""
    )
    recipe = load_config(file, {}).recipe
    assert recipe is not None
    model = build_model(recipe.stage_b.model, recipe.stage_b.image_size, 2)
    assert any("lora_A" in name for name in model.state_dict())
    file.write_text(file.read_text().replace(f'"folder:{weights}"', "random"))
    with pytest.raises(ConfigError, match="adapt is 'lora' with random weights"):
        load_config(file, {})


def test_missing_weights_are_reported_before_any_image_is_read(weights: Path, tmp_path: Path) -> None:
    for where, name, fault in (
        (tmp_path, "dinov3", r"holds no config\.json"),
        (weights, "vit", "not a vit; use name: dinov3"),
    ):
        stage_b = {
            "image_size": 32,
            "model": {"name": name, "transformer": {"weights": f"folder:{where}"}},
            "loop": {},
        }
        stage_a = {"image_size": 32, "model": {"name": "cnn-tiny"}, "loop": {}}
        config = load_config(
            None, {"data.source": "folder:nowhere", "recipe": {"stage_a": stage_a, "stage_b": stage_b}}
        )
        with pytest.raises(BackboneError, match=fault):
            run_training(config, tmp_path / "run", RunConsole(Console(quiet=True)))
