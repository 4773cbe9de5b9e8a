"""Tests of one signal: by hand, against SciPy, and their error rates in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from calibration.drift.marginals import (
    category_p_value,
    category_psi,
    holm,
    ks_p_value,
    ks_statistic,
    number_psi,
)


class TestKolmogorovSmirnov:
    @pytest.mark.parametrize("decimals", [None, 1], ids=["continuous", "with ties"])
    def test_the_statistic_is_that_of_scipy(self, decimals: int | None) -> None:
        rng = np.random.default_rng(1)
        for _ in range(20):
            before, now = rng.normal(size=130), rng.normal(0.3, 1.2, 77)
            if decimals is not None:
                before, now = before.round(decimals), now.round(decimals)
            assert ks_statistic(before, now) == pytest.approx(stats.ks_2samp(before, now).statistic)

    def test_small_p_values_bound_the_exact_ones_closely(self) -> None:
        rng = np.random.default_rng(2)
        for shift in (0.25, 0.35, 0.45):
            before, now = rng.normal(size=400), rng.normal(shift, 1.0, 250)
            exact = stats.ks_2samp(before, now, method="exact")
            p = ks_p_value(float(exact.statistic), 400, 250)
            assert exact.pvalue <= p <= 2.0 * exact.pvalue

    def test_equal_samples_have_p_one(self) -> None:
        same = np.arange(50.0)
        assert ks_p_value(ks_statistic(same, same), 50, 50) == 1.0

    def test_false_alarms(self) -> None:
        rng = np.random.default_rng(3)
        ps = [ks_p_value(ks_statistic(rng.random(300), rng.random(250)), 300, 250) for _ in range(2000)]
        assert np.mean(np.array(ps) <= 0.05) <= 0.06


class TestCategories:
    @pytest.mark.parametrize(("a", "m", "c", "n"), [(3, 40, 12, 50), (90, 100, 200, 250), (0, 30, 0, 30)])
    def test_two_categories_are_tested_as_scipy_does(self, a: int, m: int, c: int, n: int) -> None:
        before, now = np.arange(m) < a, np.arange(n) < c
        expected = stats.fisher_exact([[a, m - a], [c, n - c]]).pvalue
        found = category_p_value(before.astype(np.int64), now.astype(np.int64))
        assert found == pytest.approx(min(1.0, expected), rel=1e-6)

    def test_a_category_that_disappears_among_several(self) -> None:
        before = np.repeat([0, 1, 2, 3], 100)
        assert category_p_value(before, np.repeat([0, 1, 2], 100)) < 1e-6
        assert category_p_value(before, before) == 1.0

    def test_false_alarms_with_four_categories(self) -> None:
        rng = np.random.default_rng(4)
        ps = [category_p_value(rng.integers(0, 4, 300), rng.integers(0, 4, 250)) for _ in range(400)]
        assert np.mean(np.array(ps) <= 0.05) <= 0.08


class TestHolm:
    def test_by_hand(self) -> None:
        np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])

    def test_none_and_one(self) -> None:
        assert len(holm(np.array([]))) == 0
        np.testing.assert_array_equal(holm(np.array([0.7])), [0.7])


class TestStability:
    def test_by_hand(self) -> None:
        before, now = np.repeat([0, 1], [50, 50]), np.repeat([0, 1], [25, 75])
        shares = np.array([25.5, 75.5]) / 101.0
        expected = ((shares - 0.5) * np.log(shares / 0.5)).sum()
        assert category_psi(before, now) == pytest.approx(expected)

    def test_it_grows_with_the_shift(self) -> None:
        before = np.linspace(0.0, 1.0, 500)
        found = [number_psi(before, before + shift) for shift in (0.0, 0.1, 0.3)]
        assert found[0] == pytest.approx(0.0, abs=1e-12)
        assert found[0] < found[1] < found[2]

    def test_a_reference_without_spread(self) -> None:
        flat = np.full(100, 2.0)
        assert number_psi(flat, flat) == pytest.approx(0.0, abs=1e-12)
        assert number_psi(flat, np.full(100, 2.1)) > 1.0
