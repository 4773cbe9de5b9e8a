"""Mirroring is allowed exactly where a net cannot tell left from right, class by class."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.fit import mirror_check
from trainer.fit.mirror_check import check_mirroring

N = 400


@pytest.fixture(autouse=True)
def _small_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer images and epochs: what is told apart here is told apart at a glance."""
    monkeypatch.setattr(mirror_check, "FEWEST_IMAGES", N // 2)
    monkeypatch.setattr(mirror_check, "LARGEST_ACCURACY", 0.7)
    monkeypatch.setattr(
        mirror_check, "_LOOP", mirror_check._LOOP.model_copy(update={"epochs": 4, "batch_size": 32})
    )


def noise(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 120, (N, 32, 32, 3), generator=generator, dtype=torch.uint8)


def arrows(pixels: Tensor, right: Tensor) -> Tensor:
    """A bright bar on the right where `right`, else on the left"""
    pixels = pixels.clone()
    pixels[right, :, 24:] = 250
    pixels[~right, :, :8] = 250
    return pixels


LABELS = torch.arange(N) % 2


def test_pictures_without_a_side_may_be_mirrored() -> None:
    check = check_mirroring(noise(0), LABELS)
    assert check.allowed
    assert "not told from real ones" in check.reason


def test_pictures_with_one_side_may_not() -> None:
    check = check_mirroring(arrows(noise(1), torch.ones(N, dtype=torch.bool)), LABELS)
    assert not check.allowed
    assert "class 0" in check.reason


def test_left_against_right_is_not_fooled_by_its_symmetry_as_a_whole() -> None:
    check = check_mirroring(arrows(noise(2), LABELS == 1), LABELS)
    assert not check.allowed


def test_too_few_images_are_not_judged() -> None:
    labels = torch.zeros(N, dtype=torch.int64)
    labels[:10] = 1
    check = check_mirroring(noise(3), labels)
    assert not check.allowed
    assert check.reason == "class 1 has 10 training images; 200 are needed to judge"
