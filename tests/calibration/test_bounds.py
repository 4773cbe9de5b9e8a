"""Bounds and p-values: golden values, edges, and agreement with SciPy's distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from calibration.bounds import (
    binomial_p_value,
    clopper_pearson_lower,
    clopper_pearson_upper,
    dkw_band,
    dkw_margin,
    fewest_answered,
    hoeffding_bentkus_p_value,
    hoeffding_bentkus_upper,
    milestones,
    most_errors,
    randomised_binomial_p_value,
    randomised_clopper_pearson_upper,
    wsr_betting_upper,
)

levels = st.floats(0.001, 0.5)
counts = st.integers(0, 400).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m)))


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (0.05, [299, 473, 628, 773, 913, 1049]),
        (0.025, [368, 555, 720]),
        (0.10, [230, 388, 531, 667, 798, 926]),
    ],
)
def test_fewest_answered_that_certify_one_percent(delta: float, expected: list[int]) -> None:
    assert fewest_answered(np.arange(len(expected)), 0.01, delta).tolist() == expected


@given(errors=st.integers(0, 60), alpha=st.floats(0.002, 0.9), delta=st.floats(0.001, 0.99))
def test_fewest_answered_is_the_first_that_passes(errors: int, alpha: float, delta: float) -> None:
    m = int(fewest_answered(errors, alpha, delta))
    assert m > errors
    assert binomial_p_value(errors, m, alpha) <= delta
    assert m == errors + 1 or binomial_p_value(errors, m - 1, alpha) > delta


def test_most_errors_inverts_fewest_answered() -> None:
    answered = np.arange(0, 3000)
    allowed = most_errors(answered, 0.01, 0.05)
    passes = binomial_p_value(np.maximum(allowed, 0), answered, 0.01) <= 0.05
    assert (passes == (allowed >= 0)).all()
    assert (binomial_p_value(np.minimum(allowed + 1, answered), answered, 0.01) > 0.05).all()
    assert milestones(0.01, 0.05, 700).tolist() == [299, 473, 628, 773]
    assert milestones(0.01, 0.05, 10).tolist() == [299]


@given(pair=counts, delta=levels)
def test_clopper_pearson_is_the_beta_quantile(pair: tuple[int, int], delta: float) -> None:
    k, m = pair
    upper = 1.0 if k == m else stats.beta.ppf(1 - delta, k + 1, m - k)
    lower = 0.0 if k == 0 else stats.beta.ppf(delta, k, m - k + 1)
    assert clopper_pearson_upper(k, m, delta) == pytest.approx(upper, rel=1e-9)
    assert clopper_pearson_lower(k, m, delta) == pytest.approx(lower, rel=1e-9)
    assert clopper_pearson_lower(k, m, delta) <= (k / m if m else 1.0) <= clopper_pearson_upper(k, m, delta)


@given(pair=counts, alpha=levels, uniform=st.floats(0, 1))
def test_binomial_p_values_are_those_of_scipy(pair: tuple[int, int], alpha: float, uniform: float) -> None:
    k, m = pair
    assert binomial_p_value(k, m, alpha) == pytest.approx(stats.binom.cdf(k, m, alpha), rel=1e-9, abs=1e-300)
    expected = stats.binom.cdf(k - 1, m, alpha) + uniform * stats.binom.pmf(k, m, alpha)
    assert randomised_binomial_p_value(k, m, alpha, uniform) == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_edges_without_data_and_with_nothing_but_errors() -> None:
    assert clopper_pearson_upper([0, 5], [0, 5], 0.05).tolist() == [1.0, 1.0]
    assert clopper_pearson_lower([0, 0], [0, 5], 0.05).tolist() == [0.0, 0.0]
    assert clopper_pearson_upper(0, 299, 0.05) == pytest.approx(1 - 0.05 ** (1 / 299))
    assert binomial_p_value([0, 7], [0, 7], 0.01).tolist() == [1.0, 1.0]
    assert hoeffding_bentkus_p_value(0.0, 0, 0.1) == 1.0
    assert hoeffding_bentkus_upper(0.0, 0, 0.1) == 1.0
    assert wsr_betting_upper([], 0.05) == 1.0
    assert wsr_betting_upper(np.ones(50), 0.05) == 1.0
    assert dkw_margin(0, 0.05) == 1.0
    assert most_errors([0, 1], 0.01, 0.05).tolist() == [-1, -1]


@pytest.mark.parametrize("bad", [(-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= errors <= trials"):
        clopper_pearson_upper(*bad, 0.05)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, math.nan])
def test_impossible_levels_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        clopper_pearson_upper(1, 5, level)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        binomial_p_value(1, 5, level)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        fewest_answered(1, level, 0.05)


@given(pair=counts.filter(lambda pair: pair[1] > 0), delta=levels, uniform=st.floats(0.01, 1))
def test_randomising_only_tightens_and_inverts_its_p_value(
    pair: tuple[int, int], delta: float, uniform: float
) -> None:
    k, m = pair
    bound = float(randomised_clopper_pearson_upper(k, m, delta, uniform))
    assert bound <= float(clopper_pearson_upper(k, m, delta)) + 1e-12
    if 1e-9 < bound < 1 - 1e-9:
        assert randomised_binomial_p_value(k, m, bound, uniform) == pytest.approx(delta, rel=1e-6)
    assert randomised_clopper_pearson_upper(k, m, delta, 1.0) == pytest.approx(
        float(clopper_pearson_upper(k, m, delta)), abs=1e-12
    )


def test_hoeffding_bentkus_against_its_formula() -> None:
    k, m, alpha = 3, 1000, 0.01
    mean = k / m
    divergence = mean * math.log(mean / alpha) + (1 - mean) * math.log((1 - mean) / (1 - alpha))
    expected = min(math.exp(-m * divergence), math.e * stats.binom.cdf(k, m, alpha))
    assert hoeffding_bentkus_p_value(mean, m, alpha) == pytest.approx(expected, rel=1e-9)
    bound = float(hoeffding_bentkus_upper(mean, m, 0.05))
    assert hoeffding_bentkus_p_value(mean, m, bound) == pytest.approx(0.05, rel=1e-6)
    assert bound > clopper_pearson_upper(k, m, 0.05)


def test_hoeffding_bentkus_reads_whole_counts_in_spite_of_rounding() -> None:
    k, m, alpha = 14, 25, 0.8
    assert k / m * m > k  # in floating point: its ceiling would be one error too many
    bentkus = math.e * stats.binom.cdf(k, m, alpha)
    hoeffding = math.exp(-m * stats.entropy([k / m, 1 - k / m], [alpha, 1 - alpha]))
    assert bentkus < hoeffding
    assert hoeffding_bentkus_p_value(k / m, m, alpha) == pytest.approx(bentkus, rel=1e-9)


def test_dkw_margin_and_band() -> None:
    assert dkw_margin(1000, 0.05) == pytest.approx(math.sqrt(math.log(20) / 2000))
    with pytest.raises(ValueError, match="up to 1/2"):
        dkw_margin(10, 0.6)
    x, lower, upper = dkw_band([3.0, 1.0, 2.0, 2.0], 0.05)
    assert x.tolist() == [1.0, 2.0, 3.0]
    assert ((lower <= [1.0, 0.75, 0.25]) & (upper >= [1.0, 0.75, 0.25])).all()
    assert dkw_band([], 0.05)[0].size == 0


@given(seed=st.integers(0, 1000), delta=st.floats(0.01, 0.4))
def test_wsr_upper_shrinks_with_delta(seed: int, delta: float) -> None:
    losses = np.random.default_rng(seed).beta(0.3, 3.0, 200)
    strict, loose = wsr_betting_upper(losses, delta / 2), wsr_betting_upper(losses, delta)
    assert 0.0 < loose <= strict <= 1.0


@pytest.mark.parametrize("losses", [[1.2], [-0.1], [np.nan], [[0.1]]])
def test_wsr_refuses_losses_outside_its_range(losses: list[float]) -> None:
    with pytest.raises(ValueError, match="losses"):
        wsr_betting_upper(losses, 0.05)


@pytest.mark.parametrize("mean", [0.004, 0.2])
def test_bounds_hold_as_often_as_they_say(mean: float) -> None:
    rng = np.random.default_rng(7)
    n, delta, draws = 400, 0.1, 400
    losses = (rng.random((draws, n)) < mean).astype(float)
    k = losses.sum(axis=1).astype(int)
    missed = {
        "exact": clopper_pearson_upper(k, n, delta) < mean,
        "randomised": randomised_clopper_pearson_upper(k, n, delta, float(rng.random())) < mean,
        "hoeffding-bentkus": hoeffding_bentkus_upper(k / n, n, delta) < mean,
        "wsr": np.array([wsr_betting_upper(row, delta) for row in losses[:100]]) < mean,
    }
    for name in ("exact", "hoeffding-bentkus", "wsr"):
        total = len(missed[name])
        assert missed[name].sum() <= stats.binom.ppf(0.9999, total, delta), name


@pytest.mark.parametrize("delta", [1e-10, 1e-17, 1e-30, 1e-100])
def test_bounds_keep_their_digits_at_a_tiny_delta(delta: float) -> None:
    """1 - delta is 1 in floating point; the closed forms without an error are exact."""
    assert float(clopper_pearson_upper(0, 100, delta)) == pytest.approx(1 - delta ** (1 / 100), rel=1e-12)
    least = int(fewest_answered(0, 0.01, delta))
    assert least == math.ceil(math.log(delta) / math.log(0.99))
