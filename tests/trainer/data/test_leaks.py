"""Metadata that gives the label away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.leaks import find_leaks, informedness
from trainer.data.source import open_source

Writer = Callable[..., Path]


def test_informedness_of_two_classes_is_youdens_j() -> None:
    labels = np.repeat([0, 1], [90, 10])
    rule = np.concatenate([np.repeat([0, 1], [81, 9]), np.repeat([0, 1], [2, 8])])
    assert informedness(rule, labels, 2) == pytest.approx(0.9 + 0.8 - 1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=2, max_size=50))
def test_informedness_lies_between_guessing_and_knowing(pairs: list[tuple[int, int]]) -> None:
    levels, labels = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    if len(np.unique(labels)) < 2:
        return
    assert -1e-9 <= informedness(levels, labels, 3) <= 1 + 1e-9
    assert informedness(labels, labels, 3) == pytest.approx(1.0)
    assert informedness(np.zeros_like(labels), labels, 3) == pytest.approx(0.0)


def test_leaks_by_value_and_by_missing_are_told_and_honest_columns_are_not(write_parquet: Writer) -> None:
    rng = np.random.default_rng(0)
    n = 400
    labels = rng.integers(0, 2, n)
    noise = rng.normal(size=n)
    path = write_parquet(
        n=n,
        label=labels.tolist(),
        city=[("york" if label else "bath") if rng.random() < 0.9 else "hull" for label in labels],
        speed=(noise + 6 * labels).tolist(),
        note=["seen" if label and rng.random() < 0.9 else None for label in labels],
        scene_description=["cones" if label else None for label in labels],
        hour=rng.integers(0, 24, n).tolist(),
        gap=[None if rng.random() < 0.5 else 1.0 for _ in labels],
        title=[f"image {row}" for row in range(n)],
    )
    leaks = find_leaks(open_source(f"parquet:{path}"))
    assert {(leak.column, leak.by) for leak in leaks} == {
        ("scene_description", "missing"),
        ("speed", "value"),
        ("city", "value"),
        ("note", "missing"),
    }
    worst = leaks[0]
    assert (worst.column, worst.refused, worst.informedness) == ("scene_description", True, 1.0)
    assert worst.detail == "present for 0 % of 0, 100 % of 1"
    by_value = {leak.column: leak.detail for leak in leaks if leak.by == "value"}
    assert by_value["city"].startswith("where it is ")
    assert "100 % are" in by_value["city"]


def test_the_group_column_and_single_classes_are_not_judged(write_parquet: Writer) -> None:
    tracks = [f"t{row // 20}" for row in range(80)]
    path = write_parquet(n=80, label=[row // 40 for row in range(80)], track=tracks, one=[1] * 80)
    assert find_leaks(open_source(f"parquet:{path}", group="track")) == []
    assert [leak.column for leak in find_leaks(open_source(f"parquet:{path}"))] == ["track"]
    assert find_leaks(open_source(f"parquet:{path}", label_column="one")) == []
