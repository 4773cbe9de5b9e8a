"""Which images an epoch shows, and how pixels are checked, scaled and normalised."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.fit.batches import (
    LabelledPixels,
    Normaliser,
    class_quotas,
    epoch_order,
    shrink,
    step_rows,
    steps_per_epoch,
    to_size,
)


@given(
    counts=st.lists(st.integers(0, 200), min_size=2, max_size=5).filter(lambda c: sum(c) > 0),
    power=st.floats(0, 1),
)
def test_quotas_add_up_and_keep_to_present_classes(counts: list[int], power: float) -> None:
    quotas = class_quotas(torch.tensor(counts), power)
    assert int(quotas.sum()) == sum(counts)
    assert all(quota == 0 for quota, count in zip(quotas.tolist(), counts, strict=True) if count == 0)


def test_no_balance_shows_every_image_once_and_full_balance_every_class_alike() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    generator = torch.Generator().manual_seed(0)
    assert sorted(epoch_order(labels, 0.0, generator).tolist()) == list(range(100))
    balanced = epoch_order(labels, 1.0, generator)
    assert torch.bincount(labels[balanced]).tolist() == [50, 50]
    shown = torch.bincount(balanced, minlength=100)
    assert shown[90:].tolist() == [5] * 10
    assert int(shown[:90].max()) == 1


@given(n=st.integers(1, 300), batch=st.integers(2, 64))
def test_steps_are_as_many_as_announced_and_never_tiny(n: int, batch: int) -> None:
    steps = list(step_rows(torch.arange(n), batch))
    assert len(steps) == steps_per_epoch(n, batch)
    assert all(2 * len(rows) >= batch for rows in steps[1:])
    assert torch.cat(steps).tolist() == list(range(len(torch.cat(steps))))


def test_scaling_down_averages_over_the_area() -> None:
    board = (torch.arange(64).view(8, 8) % 2).float().expand(1, 3, 8, 8)
    assert torch.allclose(to_size(board, 2), torch.full((1, 3, 2, 2), 0.5), atol=0.1)
    assert to_size(board, 8) is board


def test_the_normaliser_is_the_formula_and_refuses_nonsense() -> None:
    normalise = Normaliser.from_mean_std(((0.1, 0.2, 0.3), (0.5, 0.25, 1.0)))
    assert normalise(torch.full((1, 3, 1, 1), 0.6)).flatten().tolist() == pytest.approx([1.0, 1.6, 0.3])
    with pytest.raises(ValueError, match="std positive"):
        Normaliser.from_mean_std(((0.0, 0.0, 0.0), (1.0, 0.0, 1.0)))


def test_the_digest_sees_every_change() -> None:
    pixels, labels = torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.tensor([0, 1])
    digests = {
        LabelledPixels(pixels, labels).digest(),
        LabelledPixels(pixels + 1, labels).digest(),
        LabelledPixels(pixels, 1 - labels).digest(),
        LabelledPixels(pixels, labels, torch.ones(2)).digest(),
    }
    assert len(digests) == 4
    assert LabelledPixels(pixels.clone(), labels.clone()).digest() in digests


@pytest.mark.parametrize(
    ("pixels", "labels", "fault"),
    [
        (torch.zeros(2, 4, 4, 3), torch.zeros(2, dtype=torch.int64), "torch.float32"),
        (torch.zeros(2, 4, 6, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"\(2, 4, 6, 3\)"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), r"need int64 \(2,\)"),
    ],
)
def test_wrong_arrays_are_named(pixels: torch.Tensor, labels: torch.Tensor, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        LabelledPixels(pixels, labels)


def test_shrink_leaves_small_images_alone_and_averages_large_ones() -> None:
    pixels = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    pixels[:, ::2] = 255
    assert shrink(pixels, 32) is pixels
    small = shrink(pixels, 16)
    assert small.shape == (2, 3, 16, 16)
    assert small.mean() == pytest.approx(0.5, abs=0.02)
