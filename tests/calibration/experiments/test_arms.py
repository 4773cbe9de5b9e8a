"""Tables of an experiment: their sums, their parts, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.experiments.arms import ArmTable, ShadowPairs


@pytest.fixture
def table() -> ArmTable:
    """Three units, the second of which is in two strata."""
    return ArmTable(
        arms=("control", "b:2", "c:3"),
        unit=np.array([0, 1, 1, 2]),
        arm=np.array([0, 1, 1, 2]),
        stratum=np.array([0, 0, 1, 1]),
        first_at=np.array([1.0, 2.0, 3.0, 4.0]),
        requests=np.array([4, 3, 2, 1]),
        answered=np.array([3, 3, 1, 1]),
        confusion=np.array([[[1, 1], [0, 1]], [[0, 0], [0, 2]], [[0, 0], [0, 0]], [[1, 0], [0, 0]]]),
        audits=np.array([1, 0, 0, 1]),
        audited=np.array([5.0, 0.0, 0.0, 2.0]),
        audited_wrong=np.array([5.0, 0.0, 0.0, 0.0]),
        label_lag=np.array([10.0, 20.0, np.nan, 30.0]),
        shares=np.array([[0.8, 0.1, 0.1], [0.5, 0.2, 0.3]]),
    )


def test_labels_and_right_answers_come_from_the_confusion(table: ArmTable) -> None:
    assert table.labelled.tolist() == [3, 2, 0, 1]
    assert table.right.tolist() == [2, 2, 0, 1]


def test_a_pair_has_the_shares_between_its_two_arms(table: ArmTable) -> None:
    pair = table.pair(table.index("c:3"))
    assert pair.arms == ("control", "c:3")
    assert pair.arm.tolist() == [0, 1]
    assert pair.shares == pytest.approx(np.array([[8 / 9, 1 / 9], [5 / 8, 3 / 8]]))


def test_a_pair_without_a_share_in_a_stratum_is_a_table(table: ArmTable) -> None:
    shares = np.array([[0.8, 0.1, 0.1], [0.0, 1.0, 0.0]])
    rows = table.take(np.array([0, 1, 2]))
    assert replace(rows, shares=shares).pair(2).shares[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"arms": ("control",)}, "arms"),
        ({"arms": ("control", "b", "b")}, "arms"),
        ({"shares": np.array([[0.8, 0.1, 0.2], [0.5, 0.2, 0.3]])}, "shares"),
        ({"shares": np.array([[0.8, 0.1], [0.5, 0.5]])}, "shares"),
        ({"arm": np.array([0, 1, 1, 3])}, "arm holds"),
        ({"stratum": np.array([0, 0, 1, 2])}, "stratum"),
        ({"unit": np.array([0.0, 1.0, 1.0, 2.0])}, "unit"),
        ({"first_at": np.array([1.0, np.nan, 3.0, 4.0])}, "first_at"),
        ({"requests": np.array([4, 3, 2])}, "requests"),
        ({"requests": np.array([2, 3, 2, 1])}, "answered is more than requests in row 0"),
        ({"answered": np.array([3, -1, 1, 1])}, "answered"),
        ({"audited_wrong": np.array([5.1, 0.0, 0.0, 0.0])}, "audited_wrong is more than audited in row 0"),
        ({"audited": np.array([5.0, np.inf, 0.0, 2.0])}, "audited"),
        ({"label_lag": np.array([10.0, -1.0, np.nan, 30.0])}, "label_lag"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(
    table: ArmTable, change: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        replace(table, **change)  # type: ignore[arg-type]


def test_an_unknown_challenger_is_refused_with_the_known_ones(table: ArmTable) -> None:
    with pytest.raises(ValueError, match="the challengers are b:2, c:3"):
        table.index("control")


def test_shadow_pairs_are_counts_per_unit() -> None:
    one = np.array([1, 2])
    assert ShadowPairs(one, one, one, one).pairs.tolist() == [4, 8]
    with pytest.raises(ValueError, match="only_shadow"):
        ShadowPairs(one, one, np.array([1]), one)
    with pytest.raises(ValueError, match="both_wrong"):
        ShadowPairs(one, one, one, -one)
