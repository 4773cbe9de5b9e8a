"""What the label means, what gives it away and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, chi2_contingency

from trainer.scenes import ROADWORK_NAMES, Frame, SceneOptions, render_sequence
from trainer.scenes.sites import FULL, SPARSE
from trainer.scenes.staging import draw_world

KEYS = ["hour", "month", "weather", "heading", "latitude", "longitude", "district"]


def _roadwork(frame: Frame) -> int:
    return sum(name in ROADWORK_NAMES for name in frame.objects)


def test_the_share_of_roadwork_is_the_one_asked_for() -> None:
    for share in (0.2, 0.5):
        options = SceneOptions(sequences=400, seed=2, roadwork_share=share)
        labels = [draw_world(options, k).label for k in range(400)]
        assert binomtest(sum(labels), 400, share).pvalue > 1e-4
    assert draw_world(SceneOptions(sequences=1, roadwork_share=0.0), 0).label == 0
    assert draw_world(SceneOptions(sequences=1, roadwork_share=1.0), 0).label == 1


def test_without_the_label_no_object_of_a_work_site_stands_there(scenes: list[Frame]) -> None:
    assert all(_roadwork(frame) == 0 for frame in scenes if frame.label == 0)
    seen = [_roadwork(frame) > 0 for frame in scenes if frame.label == 1]
    assert np.mean(seen) > 0.9


def test_every_recipe_builds_from_known_names() -> None:
    options = SceneOptions(sequences=400, seed=9, roadwork_share=1.0, difficulty=0.6)
    names = {item.name for k in range(400) for item in draw_world(options, k).items}
    assert names >= ROADWORK_NAMES
    assert len(FULL) > len(SPARSE) > 1


def test_metadata_has_its_columns_and_plain_values(scenes: list[Frame]) -> None:
    for frame in scenes:
        assert list(frame.metadata) == KEYS
        assert {type(value) for value in frame.metadata.values()} <= {int, float, str}
        assert 0 <= frame.metadata["hour"] <= 23  # type: ignore[operator]
        assert 0.0 <= frame.metadata["heading"] < 360.0  # type: ignore[operator]


def test_metadata_cannot_know_the_label() -> None:
    """The same sequences with and without roadwork have the same metadata, street and weather."""
    for k in range(25):
        with_site = draw_world(SceneOptions(sequences=25, seed=7, roadwork_share=1.0), k)
        without = draw_world(SceneOptions(sequences=25, seed=7, roadwork_share=0.0), k)
        assert (with_site.label, without.label) == (1, 0)
        assert with_site.conditions == without.conditions
        assert with_site.street == without.street
        assert (with_site.drive, with_site.lens) == (without.drive, without.lens)


@pytest.mark.parametrize("key", ["weather", "district", "hour"])
def test_metadata_is_independent_of_the_label(key: str) -> None:
    options = SceneOptions(sequences=800, seed=12)
    worlds = [draw_world(options, k) for k in range(800)]
    values = [world.conditions.metadata()[key] for world in worlds]
    if key == "hour":
        values = [int(value) // 4 for value in values]
    kinds = sorted(set(values), key=str)
    table = np.zeros((2, len(kinds)))
    for world, value in zip(worlds, values, strict=True):
        table[world.label, kinds.index(value)] += 1
    assert chi2_contingency(table).pvalue > 1e-4


def test_difficulty_hides_the_roadwork() -> None:
    counts = []
    for difficulty in (0.0, 0.5, 1.0):
        options = SceneOptions(sequences=60, seed=4, roadwork_share=1.0, difficulty=difficulty, size=96)
        counts.append(np.mean([_roadwork(render_sequence(options, k)[0]) for k in range(60)]))
    assert counts[0] > counts[1] > counts[2]
    assert counts[0] > 1.5 * counts[2]


def test_difficulty_brings_look_alikes() -> None:
    def others(difficulty: float) -> float:
        options = SceneOptions(sequences=150, seed=4, difficulty=difficulty)
        alike = {"lone cone", "coloured bin", "other warning sign", "chevron board", "bollard"}
        return float(
            np.mean([sum(item.name in alike for item in draw_world(options, k).items) for k in range(150)])
        )

    assert others(0.0) > 0.0
    assert others(1.0) > 1.5 * others(0.0)
