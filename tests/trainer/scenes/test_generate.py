"""What a caller relies on: the same images from the same seed, however they are made."""

from __future__ import annotations

import io
from itertools import islice, pairwise

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from trainer.scenes import Frame, SceneOptions, iter_frames, render, render_sequence


def _pixels(frame: Frame) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(frame.jpeg)), dtype=np.float64)


def test_equal_options_give_equal_bytes() -> None:
    options = SceneOptions(sequences=3, frames=2, seed=8)
    assert render(options, processes=1) == render(options, processes=1)


def test_the_number_of_processes_changes_nothing_but_the_time() -> None:
    options = SceneOptions(sequences=70, frames=1, seed=3, size=64)
    assert render(options, processes=2) == render(options, processes=1)


def test_a_sequence_does_not_depend_on_how_many_others_there_are() -> None:
    few, many = SceneOptions(sequences=3, seed=1), SceneOptions(sequences=1_000_000, seed=1)
    assert render_sequence(few, 2) == render_sequence(many, 2)


def test_another_seed_gives_other_images() -> None:
    first = render_sequence(SceneOptions(sequences=1, seed=1), 0)[0]
    second = render_sequence(SceneOptions(sequences=1, seed=2), 0)[0]
    assert np.abs(_pixels(first) - _pixels(second)).mean() > 5.0


def test_frames_come_in_order_and_progress_is_reported() -> None:
    told: list[tuple[int, int]] = []
    options = SceneOptions(sequences=40, frames=2, seed=4, size=64)
    frames = render(options, processes=1, on_progress=lambda done, total: told.append((done, total)))
    assert [frame.frame for frame in frames] == [0, 1] * 40
    assert [frame.group for frame in frames] == [f"4-{k:06d}" for k in range(40) for _ in range(2)]
    assert told[-1] == (80, 80)
    assert told == sorted(told)


def test_iteration_renders_no_more_than_it_is_asked_for() -> None:
    endless = SceneOptions(sequences=10**9, seed=0, size=64)
    assert len(list(islice(iter_frames(endless), 3))) == 3


@pytest.mark.parametrize("size", [64, 224, 300])
def test_images_are_square_rgb_jpegs_of_the_size_asked_for(size: int) -> None:
    frame = render_sequence(SceneOptions(sequences=1, size=size), 0)[0]
    image = Image.open(io.BytesIO(frame.jpeg))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (size, size))
    assert len(frame.jpeg) < 60_000


def test_frames_of_a_group_are_near_copies_and_groups_are_not() -> None:
    options = SceneOptions(sequences=12, frames=3, seed=6, size=96)
    groups = [[_pixels(frame) for frame in render_sequence(options, k)] for k in range(12)]
    within = [np.abs(a - b).mean() for group in groups for a, b in pairwise(group)]
    across = [np.abs(a[0] - b[0]).mean() for a, b in pairwise(groups)]
    assert min(within) > 0.0
    assert np.median(within) < 0.2 * np.median(across)
    assert max(within) < 0.5 * np.median(across)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequences", 0),
        ("frames", 0),
        ("frames", 33),
        ("seed", -1),
        ("difficulty", 1.01),
        ("size", 63),
        ("roadwork_share", -0.1),
    ],
)
def test_options_out_of_range_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        SceneOptions.model_validate({field: value})


def test_an_index_or_process_count_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"index is 5; it must be in 0\.\.4"):
        render_sequence(SceneOptions(sequences=5), 5)
    with pytest.raises(ValueError, match="processes is 0"):
        render(SceneOptions(sequences=1), processes=0)
