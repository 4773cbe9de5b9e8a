"""Planned thresholds: their order and reach, and the error curve behind them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from calibration import RiskTarget, plan_thresholds
from calibration.error_curve import fit_error_curve, rank_scale
from calibration.planning.thresholds import GRID_POINTS

TARGET = RiskTarget()


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(1.645, 1.0, n)
    return np.abs(x), x < 0


@given(n=st.integers(1, 5000), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_thresholds_go_from_the_strictest_to_the_loosest_selection_score(n: int, seed: int) -> None:
    confidence, errors = draw(n, seed)
    thresholds = plan_thresholds(confidence, errors, 1000, TARGET)
    assert thresholds.dtype == np.float64
    assert (np.diff(thresholds) < 0).all()
    assert (thresholds[0], thresholds[-1]) == (confidence.max(), confidence.min())
    assert len(thresholds) <= GRID_POINTS
    assert np.isin(thresholds, confidence).all()


def test_a_large_selection_split_is_denser_where_the_walk_is_likely_to_end() -> None:
    confidence, errors = draw(200_000)
    thresholds = plan_thresholds(confidence, errors, 1000, TARGET)
    ranked = np.sort(confidence)[::-1]
    coverage = np.searchsorted(-ranked, -thresholds, side="right") / len(ranked)
    near = np.diff(coverage)[(coverage[1:] > 0.75) & (coverage[1:] < 0.85)]  # the oracle's is .822
    assert near.max() < 0.0016
    assert np.diff(coverage)[coverage[1:] < 0.5].min() > 0.0016


def test_a_planned_start_answers_what_was_asked() -> None:
    confidence, errors = draw(10_000)
    thresholds = plan_thresholds(confidence, errors, 1000, TARGET, first_answered=500)
    assert (confidence >= thresholds[0]).mean() == pytest.approx(0.5, abs=0.002)
    few = plan_thresholds(confidence, errors, 200, TARGET, first_answered=500)
    assert few.tolist() == [confidence.min()]


def test_tied_scores_give_distinct_thresholds() -> None:
    confidence = np.repeat([0.9, 0.5], 100)
    assert plan_thresholds(confidence, np.zeros(200), 1000, TARGET).tolist() == [0.9, 0.5]


def test_malformed_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="selection split is empty"):
        plan_thresholds([], [], 1000, TARGET)
    with pytest.raises(ValueError, match="n_calibration is -1"):
        plan_thresholds([0.5], [0], -1, TARGET)
    with pytest.raises(ValueError, match="NaN"):
        plan_thresholds([np.nan], [0], 1000, TARGET)


def test_the_error_curve_finds_a_logistic_truth() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.normal(size=40_000)
    rate = special.expit(-3.0 - 1.2 * confidence)
    fitted = fit_error_curve(confidence, rng.random(40_000) < rate)
    assert np.abs(fitted - rate).mean() < 0.005


def test_the_error_curve_does_not_depend_on_the_scale_and_never_rises() -> None:
    confidence, errors = draw(2000)
    assert np.allclose(fit_error_curve(confidence, errors), fit_error_curve(np.exp(confidence), errors))
    order = np.argsort(confidence)
    assert (np.diff(fit_error_curve(confidence, errors)[order]) <= 0).all()
    upside_down = fit_error_curve(-confidence, errors)
    assert np.ptp(upside_down) == 0.0
    assert upside_down[0] == pytest.approx(errors.mean(), abs=0.01)


@pytest.mark.parametrize("value", [False, True])
def test_the_error_curve_of_one_kind_of_outcome_is_finite(value: bool) -> None:
    fitted = fit_error_curve(np.linspace(0, 1, 50), np.full(50, value))
    assert ((fitted > 0.0) & (fitted < 1.0)).all()
    assert (fitted > 0.5).all() if value else (fitted < 0.5).all()


def test_rank_scale_puts_ties_at_their_mid_rank() -> None:
    scale = rank_scale(np.array([1.0, 2.0, 2.0, 3.0]))
    assert scale[1] == scale[2] == pytest.approx(0.0)
    assert scale[0] == pytest.approx(-scale[3])
