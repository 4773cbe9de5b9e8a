"""Transformers as backbones: every family, from random weights and from folders; what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.tiny_vit import TINY, save_tiny_transformer
from pydantic import ValidationError

from bundle.engines.model import open_model
from trainer.models import FAMILIES, ModelConfig, TransformerBackbone, TransformerConfig, build_model
from trainer.models.backbones import IMAGENET, build_transformer, family_of
from trainer.models.onnx_export import export_onnx
from trainer.models.pretrained import BackboneError, HubUnavailable, WeightsNotFound, open_weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("weights")
    return {name: save_tiny_transformer(name, root / name) for name in FAMILIES}


def pretrained(folder: Path, **options: object) -> TransformerConfig:
    return TransformerConfig(weights=f"folder:{folder}", **options)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_gives_three_heads(name: str) -> None:
    model = build_model(ModelConfig(name=name, transformer=TransformerConfig(**TINY)), 32, 3).eval()
    outputs = model(torch.zeros(2, 3, 32, 32))
    assert outputs.logits.shape == (2, 3)
    assert outputs.gate.shape == (2,)
    assert outputs.auxiliary.shape == (2, 3)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_folder_gives_its_own_weights(name: str, folders: dict[str, Path]) -> None:
    first = build_transformer(name, pretrained(folders[name]), 32).eval()
    second = build_transformer(name, pretrained(folders[name]), 32).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(first(x), second(x))
    assert family_of(open_weights(f"folder:{folders[name]}")) == name
    assert first.weights == name


def test_patch_tokens_are_averaged_without_class_token_and_registers(folders: dict[str, Path]) -> None:
    for name, backbone in ((n, build_transformer(n, pretrained(folders[n]), 32)) for n in FAMILIES):
        tokens = backbone.net(pixel_values=torch.zeros(1, 3, 32, 32)).last_hidden_state
        # 32 px in patches of 8: 16 patches follow whatever comes before them.
        assert tokens.shape[1] - backbone.first_patch == 16, name


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_weights_serve_at_another_image_size(name: str, folders: dict[str, Path]) -> None:
    backbone = build_transformer(name, pretrained(folders[name]), 48).eval()
    own_way = build_transformer(name, pretrained(folders[name]), 32).eval()
    x = torch.randn(2, 3, 48, 48)
    options = {"interpolate_pos_encoding": True} if name == "vit" else {}
    with torch.no_grad():
        ours = backbone.net(pixel_values=x).last_hidden_state
        theirs = own_way.net(pixel_values=x, **options).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0.0)


def test_each_checkpoint_sees_pixels_normalised_as_it_knows_them(folders: dict[str, Path]) -> None:
    backbone = build_transformer("vit", pretrained(folders["vit"]), 32)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in IMAGENET)
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(backbone.normalisation((x - mean) / std), (x - 0.5) / 0.5)
    stays = build_transformer("dinov2", pretrained(folders["dinov2"]), 32)
    assert torch.equal(stays.normalisation(x), x)


def test_a_checkpoint_says_its_own_normalisation(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["dinov2"], tmp_path / "own")
    own = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    assert open_weights(f"folder:{folder}").mean_std() == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    backbone = build_transformer("dinov2", pretrained(folder), 32)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in IMAGENET)
    x = torch.rand(1, 3, 32, 32)
    expected = (x - torch.tensor(own["image_mean"]).view(1, 3, 1, 1)) / torch.tensor(own["image_std"]).view(
        1, 3, 1, 1
    )
    torch.testing.assert_close(backbone.normalisation((x - mean) / std), expected)


def test_head_alone_freezes_the_backbone_and_full_frees_it(folders: dict[str, Path]) -> None:
    for adapt, some in (("head", False), ("full", True)):
        config = ModelConfig(name="dinov2", transformer=pretrained(folders["dinov2"], adapt=adapt))
        model = build_model(config, 32, 2)
        free = {n for n, p in model.backbone.named_parameters() if p.requires_grad}
        assert bool(free) is some
        assert not any("mask_token" in name for name in free)
        assert all(p.requires_grad for p in model.classifier.parameters())


@pytest.mark.parametrize("adapt", ["lora", "dora", "head"])
def test_random_weights_are_trained_in_full_or_not_at_all(adapt: str) -> None:
    with pytest.raises(ValidationError, match=f"adapt is '{adapt}' with random weights"):
        TransformerConfig(adapt=adapt)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"weights": "PATH"}, "weights is 'PATH'; it must be random, folder:PATH or hub:OWNER/NAME"),
        ({"hidden_size": 50}, "hidden_size is 50 with 3 heads"),
    ],
)
def test_impossible_configs_are_refused(values: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        TransformerConfig(**values)


def test_a_convolutional_net_takes_no_transformer() -> None:
    with pytest.raises(ValidationError, match="cnn-tiny is no transformer"):
        ModelConfig(name="cnn-tiny", transformer=TransformerConfig())


def test_what_does_not_fit_is_refused_by_name(folders: dict[str, Path], tmp_path: Path) -> None:
    vit = folders["vit"]
    with pytest.raises(BackboneError, match="image_size is 36, which is no multiple of the patch size 8"):
        build_transformer("vit", pretrained(vit), 36)
    with pytest.raises(BackboneError, match="patch_size is 16; the weights vit have 8"):
        build_transformer("vit", pretrained(vit, patch_size=16), 32)
    with pytest.raises(BackboneError, match="vit is a 'vit', not a dinov3; use name: vit"):
        build_transformer("dinov3", pretrained(vit), 32)
    with pytest.raises(WeightsNotFound, match=r"holds no config\.json"):
        build_transformer("vit", pretrained(tmp_path), 32)
    (tmp_path / "config.json").write_text((vit / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(WeightsNotFound, match=r"holds no model\.safetensors"):
        build_transformer("vit", pretrained(tmp_path), 32)


def test_missing_weights_are_not_filled_with_random_ones(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["vit"], tmp_path / "vit")
    tensors = load_file(folder / "model.safetensors")
    dropped = next(name for name in sorted(tensors) if "fc1.weight" in name or "intermediate" in name)
    save_file(
        {n: t for n, t in tensors.items() if n != dropped},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(BackboneError, match="1 of its weights are missing"):
        build_transformer("vit", pretrained(folder), 32)


def test_an_unreachable_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnavailable, match=r"someone/no-such-backbone could not be fetched.*folder:PATH"):
        open_weights("hub:someone/no-such-backbone")


@pytest.mark.parametrize("name", ["dinov3", "vit"])
def test_the_exported_backbone_computes_what_torch_computes(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    model = build_model(ModelConfig(name=name, transformer=pretrained(folders[name])), 32, 2).eval()
    assert export_onnx(model, (32, 32), tmp_path / "model.onnx") < 1e-4
    engine = open_model(tmp_path / "model.onnx")
    for batch in (1, 5):
        x = torch.randn(batch, 3, 32, 32)
        with torch.no_grad():
            expected = model(x)
        np.testing.assert_allclose(engine.run(x.numpy()).logits, expected.logits.numpy(), atol=1e-4)


def test_a_seed_gives_the_heads_and_leaves_the_pretrained_weights(folders: dict[str, Path]) -> None:
    config = ModelConfig(name="vit", transformer=pretrained(folders["vit"], adapt="lora"))
    one, same, other = (build_model(config, 32, 2, seed=seed) for seed in (1, 1, 2))
    states = [model.state_dict() for model in (one, same, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert isinstance(one.backbone, TransformerBackbone)
    assert one.backbone.has_adapter
