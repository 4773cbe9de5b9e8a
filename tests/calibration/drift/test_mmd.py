"""Maximum mean discrepancy: its value by hand, its size, its power."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.drift.mmd import PERMUTATIONS, joint_vectors, mmd_test


def test_the_statistic_by_definition() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=(30, 3)), rng.normal(0.5, 1.0, (20, 3))
    pooled = np.concatenate([before, now])
    distances = ((pooled[:, None] - pooled[None]) ** 2).sum(axis=-1)
    kernel = np.exp(-distances / np.median(distances[np.triu_indices(50, 1)]))
    expected = kernel[:30, :30].mean() + kernel[30:, 30:].mean() - 2.0 * kernel[:30, 30:].mean()
    assert mmd_test(before, now).statistic == pytest.approx(expected, rel=1e-4)


def test_false_alarms_are_as_rare_as_stated() -> None:
    rng = np.random.default_rng(1)
    ps = [mmd_test(rng.normal(size=(60, 4)), rng.normal(size=(40, 4)), seed=k).p_value for k in range(120)]
    assert np.mean(np.array(ps) <= 0.05) <= 0.1
    assert np.mean(ps) == pytest.approx(0.5, abs=0.1)


def test_a_dependence_that_no_single_signal_shows() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(size=(400, 2))
    now = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.9], [0.9, 1.0]], 250)
    assert mmd_test(before, now).p_value == 1 / (1 + PERMUTATIONS)


def test_more_permutations_are_drawn_only_for_samples_far_apart() -> None:
    rng = np.random.default_rng(3)
    quiet = mmd_test(rng.normal(size=(50, 2)), rng.normal(size=(50, 2)), permutations=20_000)
    far = mmd_test(rng.normal(size=(50, 2)), rng.normal(3.0, 1.0, (50, 2)), permutations=20_000)
    assert quiet.permutations < 20_000
    assert far.permutations >= 20_000
    assert far.p_value == 1 / (1 + far.permutations)


def test_values_without_spread_or_sense() -> None:
    same = np.ones((20, 3))
    assert mmd_test(same, same).p_value == 1.0
    odd = np.random.default_rng(4).normal(size=(20, 3))
    odd[0, 0], odd[1, 1] = np.nan, np.inf
    assert 0.0 < mmd_test(odd, same).p_value <= 1.0


@pytest.mark.parametrize(
    ("before", "now", "permutations"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), 999),
        (np.ones((1, 2)), np.ones((5, 2)), 999),
        (np.ones((5, 0)), np.ones((5, 0)), 999),
        (np.ones(5), np.ones(5), 999),
        (np.ones((5, 2)), np.ones((5, 2)), 998),
    ],
)
def test_malformed_samples(before: NDArray[np.float64], now: NDArray[np.float64], permutations: int) -> None:
    with pytest.raises(ValueError, match=r"sample|permutations"):
        mmd_test(before, now, permutations=permutations)


class TestJointVectors:
    def test_units_and_outliers_do_not_count(self) -> None:
        rng = np.random.default_rng(5)
        before, now = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
        plain = joint_vectors((before,), (now,))
        scaled = joint_vectors((before * [1.0, 1e9],), (now * [1.0, 1e9],))
        np.testing.assert_array_equal(plain[0], scaled[0])
        np.testing.assert_array_equal(plain[1], scaled[1])

    def test_blocks_weigh_the_same(self) -> None:
        rng = np.random.default_rng(6)
        one, many = rng.normal(size=(50, 1)), rng.normal(size=(50, 32))
        before, _ = joint_vectors((one, many), (one, many))
        spread = before.var(axis=0)
        assert spread[0] == pytest.approx(spread[1:].sum(), rel=1e-6)

    def test_unknown_values_are_in_the_middle(self) -> None:
        before, _ = joint_vectors((np.array([[1.0], [np.nan], [3.0]]),), (np.array([[2.0]]),))
        assert before[1, 0] == 0.5
