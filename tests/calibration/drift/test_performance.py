"""Expected performance without labels."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.drift.performance import Estimate, contradicts, expected_performance, pooled


def test_by_hand() -> None:
    right = np.array([0.9, 0.8, 1.0, np.nan])
    found = expected_performance(right, np.array([True, False, True, True]))
    assert found.accuracy is not None
    assert found.risk is not None
    assert found.accuracy.value == pytest.approx(0.9)
    assert found.risk.value == pytest.approx(0.05)
    assert (found.accuracy.n, found.risk.n) == (3, 2)
    assert 0.0 <= found.risk.low <= found.risk.value <= found.risk.high


def test_calibrated_probabilities_estimate_the_accuracy() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        right = rng.beta(8.0, 1.0, 400)
        found = expected_performance(right, right > 0.8)
        assert found.risk is not None
        truth = 1.0 - rng.beta(8.0, 1.0, 200_000)
        inside += found.risk.low <= truth[truth < 0.2].mean() <= found.risk.high
    assert inside >= 180


def test_nothing_answered_and_no_images() -> None:
    none = expected_performance(np.array([0.7, 0.9]), np.array([False, False]))
    assert none.risk is None
    assert none.accuracy is not None
    empty = expected_performance(np.array([]), np.array([], dtype=np.bool_))
    assert (empty.accuracy, empty.risk) == (None, None)
    single = expected_performance(np.array([0.7]), np.array([True]))
    assert single.accuracy == Estimate(0.7, 0.0, 1.0, 1)


@pytest.mark.parametrize(
    ("low", "high", "contradicted"), [(0.0, 0.005, True), (0.03, 0.05, True), (0.015, 0.05, False)]
)
def test_contradiction(low: float, high: float, contradicted: bool) -> None:
    assert contradicts(Estimate(0.015, 0.01, 0.02, 100), (low, high)) is contradicted


def test_two_samples_are_pooled_as_one() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.beta(8.0, 1.0, 300), rng.beta(8.0, 1.0, 200)
    parts = [expected_performance(one, np.ones(len(one), np.bool_)).risk for one in (first, second)]
    found = pooled(*parts)
    whole = expected_performance(np.concatenate([first, second]), np.ones(500, np.bool_)).risk
    assert found is not None
    assert whole is not None
    assert (found.value, found.n) == (pytest.approx(whole.value), 500)
    assert found.high - found.low == pytest.approx(whole.high - whole.low, rel=0.05)
    assert pooled(None, whole) == whole
    assert pooled(whole, None) == whole
    assert pooled(None, None) is None
