"""The interval of the prevalence: by enumeration of the rates, and where it cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.shifted_worlds import SHIFTED
from hypothesis import given
from hypothesis import strategies as st

from calibration import CalledRate, CalledRates, PrevalenceUnknown, prevalence_interval, saerens_prevalence
from calibration.bounds import clopper_pearson_lower, clopper_pearson_upper

DELTA = 0.01


def enumerated(rates: CalledRates, delta: float) -> tuple[float, float] | None:
    """Least and largest share over a grid of all three rates within their intervals."""
    boxes = [
        np.linspace(
            float(clopper_pearson_lower(rate.called, rate.n, delta / 6)),
            float(clopper_pearson_upper(rate.called, rate.n, delta / 6)),
            21,
        )
        for rate in (rates.class_0, rates.class_1, rates.unlabelled)
    ]
    zero, one, seen = np.meshgrid(*boxes, indexing="ij")
    share = (seen - zero) / (one - zero)
    allowed = share[(share >= 0.0) & (share <= 1.0)]
    return (float(allowed.min()), float(allowed.max())) if allowed.size else None


@given(st.integers(0, 40), st.integers(60, 100), st.integers(0, 1000), st.booleans())
def test_the_interval_is_that_of_all_rates_together(
    called_0: int, called_1: int, seen: int, turned: bool
) -> None:
    zero, one = CalledRate(called_0, 100), CalledRate(called_1, 100)
    rates = (
        CalledRates(one, zero, CalledRate(seen, 1000))
        if turned
        else CalledRates(zero, one, CalledRate(seen, 1000))
    )
    expected = enumerated(rates, DELTA)
    try:
        low, high = prevalence_interval(rates, DELTA)
    except PrevalenceUnknown:
        assert called_1 - called_0 < 45 or expected is None
        return
    assert 0.0 <= low <= high <= 1.0
    if expected is not None:
        # The grid does not meet 0 and 1 exactly.
        assert low == pytest.approx(expected[0], abs=0.02)
        assert high == pytest.approx(expected[1], abs=0.02)


def test_the_golden_interval() -> None:
    rates = CalledRates(CalledRate(10, 1600), CalledRate(370, 400), CalledRate(1430, 5000))
    assert prevalence_interval(rates, DELTA) == pytest.approx((0.2680, 0.3459), abs=1e-4)


def test_it_holds_the_true_share() -> None:
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.7):
        scores, classes = SHIFTED.draw(rng, 2000, 0.2)
        unlabelled, _ = SHIFTED.draw(rng, 5000, share)
        low, high = prevalence_interval(CalledRates.of(scores > 0, classes, unlabelled > 0), DELTA)
        assert low <= share <= high
        assert high - low < 0.13


def test_a_classifier_no_better_than_chance_tells_nothing() -> None:
    rates = CalledRates(CalledRate(50, 100), CalledRate(55, 100), CalledRate(500, 1000))
    with pytest.raises(PrevalenceUnknown, match="no better than chance"):
        prevalence_interval(rates, DELTA)


def test_a_rate_beyond_both_classes_is_no_label_shift() -> None:
    rates = CalledRates(CalledRate(100, 1000), CalledRate(800, 1000), CalledRate(990, 1000))
    with pytest.raises(PrevalenceUnknown, match="images themselves have changed"):
        prevalence_interval(rates, DELTA)
    rates = CalledRates(CalledRate(100, 1000), CalledRate(800, 1000), CalledRate(3, 1000))
    with pytest.raises(PrevalenceUnknown, match="images themselves have changed"):
        prevalence_interval(rates, DELTA)


def test_a_class_without_units_has_no_rate() -> None:
    with pytest.raises(PrevalenceUnknown, match="class 1 has no calibration units"):
        prevalence_interval(CalledRates(CalledRate(1, 100), CalledRate(0, 0), CalledRate(1, 10)), DELTA)


def test_one_unlabelled_image_leaves_almost_everything_open() -> None:
    rates = CalledRates(CalledRate(10, 1000), CalledRate(950, 1000), CalledRate(1, 1))
    low, high = prevalence_interval(rates, DELTA)
    assert low < 0.05
    assert high == 1.0


def test_the_point_of_expectation_maximisation() -> None:
    rng = np.random.default_rng(1)
    scores, _ = SHIFTED.draw(rng, 20_000, 0.35)
    posterior = 1.0 / (1.0 + np.exp(-scores))
    assert saerens_prevalence(posterior, 0.2) == pytest.approx(0.35, abs=0.01)
    assert saerens_prevalence([0.2, 0.2], 0.2) == pytest.approx(0.2)
    assert saerens_prevalence([1.0, 1.0, 0.0, 0.0], 0.2) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        saerens_prevalence([0.5], 0.0)
    with pytest.raises(ValueError, match="at least one image"):
        saerens_prevalence([], 0.5)
