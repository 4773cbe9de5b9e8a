"""Splits: disjoint by group, complete, repeatable, and calibration first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.certificate import RiskTarget
from trainer.data.splits import (
    SPLIT_NAMES,
    CalibrationNeed,
    SplitError,
    Splits,
    SplitSizes,
    TooFewUnits,
    keep_splits,
    make_splits,
)
from trainer.run.folder import read_json, write_json

NEED = CalibrationNeed(RiskTarget())


@st.composite
def labelled_groups(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of at least four groups, some with both labels."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=4, max_size=60))
    groups = np.repeat([f"g{index}" for index in range(len(sizes))], sizes)
    labels = draw(st.lists(st.integers(0, 2), min_size=len(groups), max_size=len(groups)))
    return np.array(labels, dtype=np.int64), groups


@given(labelled_groups(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_disjoint_complete_and_independent_of_row_order(
    data: tuple[np.ndarray, np.ndarray], seed: int, random: object
) -> None:
    labels, groups = data
    ids = [f"image {row}" for row in range(len(labels))]
    splits = make_splits(labels, groups, NEED, seed=seed, ids=ids)
    rows = np.concatenate([rows for _, rows in splits])
    assert sorted(rows.tolist()) == list(range(len(labels)))
    held = [set(groups[rows].tolist()) for _, rows in splits]
    assert sum(len(some) for some in held) == len(set(groups.tolist()))
    assert all(len(rows) for _, rows in splits)
    assert (np.diff(splits.train) > 0).all()
    assert [splits.units[name] for name in SPLIT_NAMES] == [len(some) for some in held]

    order = np.array(random.sample(range(len(labels)), len(labels)))  # type: ignore[attr-defined]
    shuffled = make_splits(labels[order], groups[order], NEED, seed=seed, ids=[ids[row] for row in order])
    assert shuffled.digests == splits.digests
    assert sorted(order[shuffled.train].tolist()) == splits.train.tolist()
    for name in SPLIT_NAMES[1:]:
        assert order[getattr(shuffled, name)].tolist() == getattr(splits, name).tolist()


@given(st.integers(4, 400), st.integers(0, 3))
def test_images_without_groups_are_split_singly(n: int, seed: int) -> None:
    labels = np.arange(n, dtype=np.int64) % 2
    splits = make_splits(labels, None, NEED, seed=seed)
    assert sum(splits.units.values()) == n
    assert all(len(rows) == splits.units[name] > 0 for name, rows in splits)


@given(st.integers(50, 2_000), st.floats(0.02, 0.5), st.integers(0, 3))
def test_every_split_holds_each_label_in_proportion(n: int, share: float, seed: int) -> None:
    labels = (np.arange(n) < share * n).astype(np.int64)
    splits = make_splits(labels, None, NEED, seed=seed)
    for _, rows in splits:
        expected = len(rows) * labels.mean()
        assert abs(int(labels[rows].sum()) - expected) <= 2


@pytest.mark.parametrize("rare", [1, 2, 3])
def test_a_rare_class_reaches_training_first_and_calibration_next(rare: int) -> None:
    labels = (np.arange(300) < rare).astype(np.int64)
    for seed in range(20):
        splits = make_splits(labels, None, NEED, seed=seed)
        assert labels[splits.train].any()
        assert rare < 2 or labels[splits.val_calib].any()


@pytest.mark.parametrize(
    ("units", "select", "calib", "test"),
    [
        (1_307, 124, 562, 105),
        (15_000, 1_425, 2_805, 1_200),
        (946, 90, 473, 76),
        (100, 10, 43, 8),
        (4, 1, 1, 1),
    ],
)
def test_calibration_gets_what_a_certificate_needs(units: int, select: int, calib: int, test: int) -> None:
    assert SplitSizes.planned(units, NEED) == SplitSizes(select, calib, test)


def test_a_harder_promise_asks_for_more_calibration() -> None:
    easy = SplitSizes.planned(5_000, CalibrationNeed(RiskTarget(alpha=0.02)))
    hard = SplitSizes.planned(5_000, CalibrationNeed(RiskTarget(alpha=0.005, delta=0.01)))
    assert hard.val_calib > 1.25 * 1_300 > easy.val_calib


def test_the_seed_decides_and_the_digests_tell() -> None:
    labels = np.arange(200, dtype=np.int64) % 2
    one, same, other = (make_splits(labels, None, NEED, seed=seed) for seed in (1, 1, 2))
    assert one.digests == same.digests
    assert one.digests["train"] != other.digests["train"]
    relabelled = labels.copy()
    relabelled[one.val_test[0]] ^= 1
    changed = make_splits(relabelled, None, NEED, seed=1, ids=[str(row) for row in range(200)])
    assert changed.digests["val_test"] != one.digests["val_test"]


def test_images_of_equal_content_stay_together() -> None:
    labels = np.arange(400, dtype=np.int64) % 2
    ids = [str(row // 4) for row in range(400)]
    splits = make_splits(labels, None, NEED, seed=0, ids=ids)
    assert all(len(set(splits.names[row : row + 4].tolist())) == 1 for row in range(0, 400, 4))


def test_sizes_may_be_given_as_counts_or_shares() -> None:
    labels = np.arange(1_000, dtype=np.int64) % 2
    splits = make_splits(labels, None, SplitSizes(50, 600, 0), seed=0)
    assert {name: len(rows) for name, rows in splits} == {
        "train": 350,
        "val_select": 50,
        "val_calib": 600,
        "val_test": 0,
    }
    shares = {"val_select": 0.05, "val_calib": 0.6, "val_test": 0.0}
    assert SplitSizes.of_fractions(1_000, shares) == SplitSizes(50, 600, 0)
    with pytest.raises(ValueError, match="must name val_select, val_calib, val_test; got val_calib"):
        SplitSizes.of_fractions(1_000, {"val_calib": 0.5})
    with pytest.raises(ValueError, match="together they must stay below 1"):
        SplitSizes.of_fractions(1_000, shares | {"val_test": 0.5})
    with pytest.raises(ValueError, match="val_calib is -1"):
        SplitSizes(1, -1, 1)


def test_what_cannot_be_split_is_refused() -> None:
    three = np.array([0, 1, 1, 0], dtype=np.int64)
    with pytest.raises(TooFewUnits, match="there are 3 groups for 4 splits"):
        make_splits(three, np.array(["a", "a", "b", "c"]), NEED, seed=0)
    with pytest.raises(TooFewUnits, match="ask for 5 of 4 units"):
        make_splits(three, None, SplitSizes(1, 3, 1), seed=0)
    with pytest.raises(SplitError, match="1 of 4 images have no usable label"):
        make_splits(np.array([0, 1, -1, 0]), None, NEED, seed=0)
    with pytest.raises(ValueError, match="groups has 1 entries for 4 labels"):
        make_splits(three, np.array(["a"]), NEED, seed=0)


def test_splits_survive_json() -> None:
    labels = np.arange(40, dtype=np.int64) % 2
    splits = make_splits(labels, None, NEED, seed=3)
    read = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert read.to_dict() == splits.to_dict()
    np.testing.assert_array_equal(read.names, splits.names)


def test_a_folder_keeps_the_order_of_its_splits(tmp_path: Path) -> None:
    labels = np.arange(40, dtype=np.int64) % 2
    ids = [f"{(7 * row) % 40}" for row in range(40)]
    now = make_splits(labels, None, NEED, seed=0, ids=ids)
    ascending = {name: np.sort(getattr(now, name)) for name in SPLIT_NAMES}
    before = replace(now, **ascending)
    write_json(tmp_path / "splits.json", before.to_dict())
    assert keep_splits(now, tmp_path / "splits.json").to_dict() == before.to_dict()
    other = make_splits(labels, None, NEED, seed=1, ids=ids)
    assert keep_splits(other, tmp_path / "splits.json").to_dict() == other.to_dict()
    assert read_json(tmp_path / "splits.json") == other.to_dict()
