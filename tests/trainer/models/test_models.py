"""Stages: shapes at every size, costs by hand, weights by seed, names refused by name."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from trainer.models import BACKBONES, EfficientNetConfig, ModelConfig, build_model, macs, n_parameters
from trainer.models.convnets import stem_halvings

SMALL = ModelConfig(name="resnet-small", width=4)


@pytest.mark.parametrize("name", sorted(BACKBONES))
@pytest.mark.parametrize("image_size", [16, 32, 65, 96])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_every_architecture_gives_three_heads_at_every_size(
    name: str, image_size: int, n_classes: int
) -> None:
    model = build_model(ModelConfig(name=name, width=4), image_size, n_classes).eval()
    outputs = model(torch.zeros(3, 3, image_size, image_size))
    assert outputs.logits.shape == (3, n_classes)
    assert outputs.gate.shape == (3,)
    assert outputs.auxiliary.shape == (3, n_classes)


@pytest.mark.parametrize(("image_size", "halvings"), [(16, 0), (32, 0), (48, 0), (64, 1), (96, 1), (224, 3)])
def test_the_stem_brings_every_size_to_about_the_same(image_size: int, halvings: int) -> None:
    assert stem_halvings(image_size) == halvings


def test_one_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = (build_model(SMALL, 32, 2, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_macs_of_a_net_counted_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(8 * 4 * 4, 5))
    # 4 x 4 outputs of 8 channels from 3 x 3 x 3 inputs each, then 128 x 5.
    assert macs(net, 8) == 4 * 4 * 8 * 27 + 128 * 5
    assert n_parameters(net) == 8 * 27 + 8 + 128 * 5 + 5


def test_macs_leave_the_model_as_it_was() -> None:
    model = build_model(SMALL, 32, 2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    macs(model, 32)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_trainable_parameters_leave_the_frozen_out() -> None:
    model = build_model(SMALL, 32, 2)
    heads = n_parameters(model) - n_parameters(model.backbone)
    model.backbone.requires_grad_(False)
    assert n_parameters(model, trainable_only=True) == heads


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"'resnet-50'; it must be one of resnet-small, cnn-tiny"):
        ModelConfig(name="resnet-50")


@pytest.mark.parametrize(("size", "classes", "fault"), [(8, 2, "image_size is 8"), (32, 1, "n_classes is 1")])
def test_impossible_sizes_are_refused(size: int, classes: int, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        build_model(SMALL, size, classes)


def test_a_mirror_average_of_kept_features_is_refused() -> None:
    with pytest.raises(ValueError, match="features of the image alone"):
        ModelConfig(
            name="efficientnet-lite0", mirror_average=True, efficientnet=EfficientNetConfig(adapt="head")
        )


def test_a_mirror_average_says_the_same_of_an_image_and_its_mirror_image() -> None:
    config = ModelConfig(name="resnet-small", width=4, mirror_average=True)
    model = build_model(config, 16, 2, seed=1).eval()
    plain = build_model(config.model_copy(update={"mirror_average": False}), 16, 2, seed=1).eval()
    pixels = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        seen, mirrored = model(pixels), model(pixels.flip(-1))
        torch.testing.assert_close(seen.logits, mirrored.logits)
        torch.testing.assert_close(seen.gate, (plain(pixels).gate + plain(pixels.flip(-1)).gate) / 2)
        torch.testing.assert_close(model.train()(pixels).logits, plain.train()(pixels).logits)
    assert macs(model, 16) == 2 * macs(plain, 16)
