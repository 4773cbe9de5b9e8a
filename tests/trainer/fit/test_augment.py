"""Augmentation: repeatable, in range, each change does what its name says, and no level mirrors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.fit.augment import LEVELS, AugmentConfig, augment, level


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs(n: int = 24, size: int = 20) -> Tensor:
    """uint8 [n, size, size, 3], smooth, each image of its own"""
    coarse = torch.rand(n, 3, 4, 4, generator=seeded(9))
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def left_and_right(n: int = 200) -> Tensor:
    """Black left half, white right half"""
    pixels = torch.zeros(n, 20, 20, 3, dtype=torch.uint8)
    pixels[:, :, 10:] = 255
    return pixels


@pytest.mark.parametrize("name", sorted(LEVELS))
def test_a_seed_repeats_a_level_and_another_seed_does_not(name: str) -> None:
    first, again, other = (augment(photographs(), level(name), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "none")
    assert first.shape == (24, 3, 20, 20)
    assert first.dtype == torch.float32
    assert 0.0 <= float(first.min()) <= float(first.max()) <= 1.0


def test_no_change_is_the_image_itself() -> None:
    pixels = photographs()
    expected = pixels.permute(0, 3, 1, 2).float() / 255
    assert torch.equal(augment(pixels, AugmentConfig(), seeded()), expected)


def test_floats_and_bytes_are_changed_alike() -> None:
    pixels = photographs()
    as_floats = pixels.permute(0, 3, 1, 2).float() / 255
    config = level("degraded")
    assert torch.equal(augment(pixels, config, seeded()), augment(as_floats, config, seeded()))


@pytest.mark.parametrize("name", sorted(LEVELS))
def test_no_level_swaps_left_and_right(name: str) -> None:
    changed = augment(left_and_right(), level(name).model_copy(update={"erase": 0.0, "noise": 0.0}), seeded())
    right, left = changed[:, :, :, 15:].mean(dim=(1, 2, 3)), changed[:, :, :, :5].mean(dim=(1, 2, 3))
    # A narrow crop may hold one half alone.
    assert (right >= left).all()
    assert float((right > left).float().mean()) > 0.85


def test_a_quarter_of_the_images_stands_on_each_rung() -> None:
    """Grey images with one white row: colour changes move the grey, noise breaks the rows up."""
    plain = torch.full((400, 3, 16, 16), 0.4)
    plain[:, :, 8] = 1.0
    config = AugmentConfig(rungs=True, rotation_degrees=90.0, brightness=0.4, noise=0.3)
    changed = augment(plain, config, seeded())
    same = (changed == plain).all(dim=(1, 2, 3))
    coloured = (changed.flatten(1).min(dim=1).values - 0.4).abs() > 0.002
    noisy = (changed[:, 0] - changed[:, 1]).abs().amax(dim=(1, 2)) > 1e-3
    assert not (noisy & ~coloured).any()
    assert not (coloured & same).any()
    for count, expected in ((same, 100), (coloured, 200), (noisy, 50)):  # half of the noisy draw none
        assert abs(int(count.sum()) - expected) < 35


def test_rungs_may_be_mirrored_where_that_is_allowed() -> None:
    config = level("ladder").model_copy(update={"horizontal_flip": True})
    changed = augment(left_and_right(), config, seeded())
    mirrored = changed[:, 0, 10, 2] > changed[:, 0, 10, 17]
    assert 50 <= int(mirrored.sum()) <= 130


def test_the_flag_mirrors_half_of_the_images() -> None:
    changed = augment(left_and_right(), AugmentConfig(horizontal_flip=True), seeded())
    mirrored = changed[:, 0, 10, 2] > changed[:, 0, 10, 17]
    assert 70 <= int(mirrored.sum()) <= 130
    plain = left_and_right(1).permute(0, 3, 1, 2).float() / 255
    assert torch.allclose(changed[mirrored][0], plain[0].flip(-1), atol=1e-5)


@pytest.mark.parametrize(
    "only",
    [
        {"rotation_degrees": 20.0},
        {"smallest_crop": 0.5},
        {"aspect": 0.3},
        {"translate": 0.2},
        {"brightness": 0.4},
        {"contrast": 0.4},
        {"saturation": 0.4},
        {"tint": 0.2},
        {"downsample": 1.0},
        {"blur": 1.0},
        {"noise": 0.1},
        {"erase": 1.0},
    ],
    ids=lambda only: next(iter(only)),
)
def test_every_setting_does_something(only: dict[str, Any]) -> None:
    plain = augment(photographs(), AugmentConfig(), seeded())
    changed = augment(photographs(), AugmentConfig(**only), seeded())
    distance = (plain - changed).abs().amax(dim=(1, 2, 3))
    assert float((distance > 1e-3).float().mean()) > 0.4


def test_blur_smooths_and_keeps_the_mean() -> None:
    noisy = torch.rand(16, 3, 32, 32, generator=seeded())
    blurred = augment(noisy, AugmentConfig(blur=1.0), seeded())
    assert float(blurred.std()) < 0.8 * float(noisy.std())
    assert torch.allclose(blurred.mean(dim=(1, 2, 3)), noisy.mean(dim=(1, 2, 3)), atol=0.02)


def test_saturation_leaves_grey_images_alone() -> None:
    grey = torch.rand(8, 1, 16, 16, generator=seeded()).expand(-1, 3, -1, -1).contiguous()
    assert torch.allclose(augment(grey, AugmentConfig(saturation=0.9), seeded()), grey, atol=1e-5)


def test_wrong_pixels_and_wrong_levels_are_named() -> None:
    with pytest.raises(ValueError, match=r"torch.uint8 \(2, 3, 8, 8\)"):
        augment(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), AugmentConfig(), seeded())
    with pytest.raises(
        ValueError, match="'heavy'; it must be one of none, geometric, colour, degraded, ladder"
    ):
        level("heavy")
