from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.metrics import nll
from calibration.probability import (
    TEMPERATURE_RANGE,
    BetaCalibration,
    IsotonicCalibration,
    PlattScaling,
    TemperatureScaling,
    calibrator_from_dict,
    fit_platt,
    fit_temperature,
)
from calibration.scores import softmax


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def draw_labels(probabilities, generator):
    return (generator.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_recovered(classes, temperature):
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (40_000, classes))
    labels = draw_labels(softmax(logits), generator)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.04)


def test_the_temperature_minimises_the_likelihood_loss():
    generator = np.random.default_rng(2)
    logits, labels = generator.normal(0, 3, (500, 4)), generator.integers(0, 4, 500)
    logits[np.arange(500), labels] += 2
    best = fit_temperature(logits, labels)
    for factor in (0.98, 1.02):
        assert nll(softmax(logits / best), labels) < nll(softmax(logits / (best * factor)), labels)


def test_a_temperature_without_a_minimum_is_the_end_of_its_range():
    logits = np.array([[2.0, 0.0], [0.0, 3.0]])
    assert fit_temperature(logits, [0, 1]) == TEMPERATURE_RANGE[0]
    assert fit_temperature(logits, [1, 0]) == TEMPERATURE_RANGE[1]


def test_platt_is_recovered_in_any_unit():
    generator = np.random.default_rng(3)
    score = generator.normal(0, 1, 40_000)
    correct = generator.random(40_000) < sigmoid(1.7 * score + 2.0)
    slope, intercept = fit_platt(score, correct)
    assert slope == pytest.approx(1.7, abs=0.08)
    assert intercept == pytest.approx(2.0, abs=0.08)
    other_unit = fit_platt(score * 1e4 + 5e5, correct)
    assert other_unit[0] * 1e4 == pytest.approx(slope, rel=1e-6)
    assert other_unit[1] + other_unit[0] * 5e5 == pytest.approx(intercept, rel=1e-6)


def test_platt_stays_finite_where_the_classes_are_separable():
    slope, intercept = fit_platt([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])
    assert 0 < slope < 100
    assert np.isfinite(intercept)


@pytest.mark.parametrize("correct", [[0, 0, 0], [1, 1, 1]])
def test_platt_of_one_class_gives_its_smoothed_share(correct):
    slope, intercept = fit_platt([0.1, 0.5, 0.9], correct)
    expected = (sum(correct) + 1) / 5
    assert sigmoid(slope * 0.5 + intercept) == pytest.approx(expected, abs=1e-6)


def test_platt_of_a_constant_score_is_the_share():
    slope, intercept = fit_platt([0.7] * 10, [1] * 8 + [0] * 2)
    targets = (8 * 9 / 10 + 2 * 1 / 4) / 10
    assert sigmoid(slope * 0.7 + intercept) == pytest.approx(targets, abs=1e-6)


def test_beta_contains_the_identity_and_undoes_a_distortion():
    generator = np.random.default_rng(4)
    p = generator.uniform(0.01, 0.99, 40_000)
    correct = generator.random(40_000) < p
    kept = BetaCalibration.fit(p, correct)
    assert kept.apply(p) == pytest.approx(p, abs=0.02)
    undone = BetaCalibration.fit(sigmoid(3 * np.log(p / (1 - p)) + 1), correct)
    assert undone.apply(sigmoid(3 * np.log(p / (1 - p)) + 1)) == pytest.approx(p, abs=0.02)


def test_beta_takes_probabilities_of_zero_and_one():
    fitted = BetaCalibration.fit([0.0, 0.2, 0.8, 1.0], [0, 0, 1, 1])
    assert np.all(np.isfinite(fitted.apply([0.0, 0.5, 1.0])))
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        BetaCalibration.fit([1.2], [1])


def test_isotonic_pools_adjacent_violators():
    fitted = IsotonicCalibration.fit([1, 2, 3, 4, 5, 6], [0, 1, 0, 1, 1, 1])
    assert fitted.apply([1, 2, 3, 4, 6]) == pytest.approx([0, 0.5, 0.5, 1, 1])
    assert fitted.apply([-9, 99]) == pytest.approx([0, 1])


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_isotonic_is_monotone_whatever_the_order_of_ties(data, random):
    shuffled = list(data)
    random.shuffle(shuffled)
    grid = np.linspace(-1, 6, 50)
    first, second = (
        IsotonicCalibration.fit([float(s) for s, _ in rows], [float(h) for _, h in rows]).apply(grid)
        for rows in (data, shuffled)
    )
    assert first == pytest.approx(second, abs=1e-9)
    assert np.all(np.diff(first) >= -1e-12)
    assert first.min() >= 0
    assert first.max() <= 1


def test_every_map_survives_being_written_down():
    generator = np.random.default_rng(5)
    p = generator.random(200)
    correct = generator.random(200) < p
    logits = np.stack([np.log(p), np.log1p(-p)], axis=1)
    for fitted, given_values in [
        (TemperatureScaling.fit(logits, (~correct).astype(int)), logits),
        (PlattScaling.fit(p, correct), p),
        (BetaCalibration.fit(p, correct), p),
        (IsotonicCalibration.fit(p, correct), p),
    ]:
        read = calibrator_from_dict(fitted.to_dict())
        assert read == fitted
        assert np.array_equal(read.apply(given_values), fitted.apply(given_values))
    with pytest.raises(ValueError, match="kind is 'spline'"):
        calibrator_from_dict({"kind": "spline"})


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: fit_temperature([[1.0, np.inf]], [0]), "NaN or infinite"),
        (lambda: fit_temperature([1.0, 2.0], [0, 1]), r"\[n, K\]"),
        (lambda: fit_platt([np.nan], [1]), "NaN or infinite"),
        (lambda: fit_platt([0.5], [2]), "0 .wrong. and 1"),
        (lambda: fit_platt([0.5], [1, 0]), "shape"),
        (lambda: IsotonicCalibration((0.0,), ()), "one length"),
    ],
)
def test_bad_input_is_named(fit, message):
    with pytest.raises(ValueError, match=message):
        fit()
