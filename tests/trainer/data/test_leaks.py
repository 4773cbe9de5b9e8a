"""Metadata that gives the label away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.config import DataConfig
from trainer.data.leaks import find_leaks, informedness
from trainer.data.source import open_source

Writer = Callable[..., Path]


def test_informedness_of_two_classes_is_youdens_j() -> None:
    labels = np.tile(np.repeat([0, 1], [90, 10]), 200)
    rule = np.tile(np.concatenate([np.repeat([0, 1], [81, 9]), np.repeat([0, 1], [2, 8])]), 200)
    found = informedness(rule, labels, np.arange(len(labels)), 2)
    assert found == pytest.approx(0.9 + 0.8 - 1.0, abs=0.01), "s.e. about .007 with 2,000 positives"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=12, max_size=50))
def test_informedness_lies_between_worse_than_guessing_and_knowing(pairs: list[tuple[int, int]]) -> None:
    levels, labels = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    units = np.arange(len(labels))
    assert -1.0 <= informedness(levels, labels, units, 3) <= 1 + 1e-9
    assert informedness(labels, labels, units, 3) in (pytest.approx(1.0), 0.0)
    assert informedness(np.zeros_like(labels), labels, units, 3) == pytest.approx(0.0)


def test_chance_and_the_names_of_groups_earn_nothing() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    labels = np.repeat(rng.integers(0, 2, 60), 5)
    assert informedness(groups, labels, groups, 2) == 0.0, "each group knows its label, and no other's"
    values = rng.integers(0, 60, 300)
    assert abs(informedness(values, labels, np.arange(300), 2)) < 0.3


def test_leaks_by_value_and_by_missing_are_reported_and_honest_columns_are_not(write_parquet: Writer) -> None:
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
    leaks = find_leaks(open_source(DataConfig(source=f"parquet:{path}")))
    assert {(leak.column, leak.by) for leak in leaks} == {
        ("scene_description", "missing"),
        ("speed", "value"),
        ("city", "value"),
        ("note", "missing"),
    }
    worst = leaks[0]
    assert (worst.column, worst.refused) == ("scene_description", True)
    assert worst.informedness == pytest.approx(1.0)
    assert worst.detail == "present for 0 % of 0, 100 % of 1"
    by_value = {leak.column: leak.detail for leak in leaks if leak.by == "value"}
    assert by_value["city"].startswith("where it is ")
    assert "100 % are" in by_value["city"]


def test_the_group_column_and_single_classes_are_not_judged(write_parquet: Writer) -> None:
    tracks = [f"t{row // 20}" for row in range(80)]
    path = write_parquet(n=80, label=[row // 40 for row in range(80)], track=tracks, one=[1] * 80)
    assert find_leaks(open_source(DataConfig(source=f"parquet:{path}", group="track"))) == []
    assert [leak.column for leak in find_leaks(open_source(DataConfig(source=f"parquet:{path}")))] == [
        "track"
    ]
    assert find_leaks(open_source(DataConfig(source=f"parquet:{path}", label_column="one"))) == []
