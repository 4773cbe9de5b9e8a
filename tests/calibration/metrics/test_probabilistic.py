from __future__ import annotations

import numpy as np
import pytest

from calibration.metrics import brier, expected_calibration_error, nll, reliability


def test_brier_and_nll_by_hand():
    probabilities, labels = [[0.8, 0.2], [0.4, 0.6]], [0, 0]
    assert brier(probabilities, labels) == pytest.approx((0.2**2 + 0.6**2) / 2)
    assert nll(probabilities, labels) == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    three = [[0.5, 0.3, 0.2]]
    assert brier(three, [1]) == pytest.approx(0.5**2 + 0.7**2 + 0.2**2)


def test_nll_of_an_impossible_label_is_large_and_finite():
    assert nll([[1.0, 0.0]], [1]) == pytest.approx(708.4, abs=0.1)


def test_ece_by_hand():
    # Confidence 0.95 right 1 of 2, confidence 0.65 right 2 of 2.
    probabilities = [[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.35, 0.65]]
    assert expected_calibration_error(probabilities, [0, 1, 1, 1], bins=10) == pytest.approx(
        (2 * 0.45 + 2 * 0.35) / 4
    )


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_ece_of_honest_probabilities_is_small_and_of_boasts_large(binning):
    generator = np.random.default_rng(5)
    p = generator.uniform(0.5, 1.0, 20_000)
    labels = (generator.random(len(p)) >= p).astype(int)
    honest = np.stack([p, 1 - p], axis=1)
    boast = np.stack([np.sqrt(p), 1 - np.sqrt(p)], axis=1)
    assert expected_calibration_error(honest, labels, binning=binning) < 0.02
    assert expected_calibration_error(boast, labels, binning=binning) > 0.08


def test_reliability_leaves_empty_bins_out_and_keeps_every_row():
    curve = reliability([0.0, 0.05, 1.0], [False, True, True], bins=10)
    assert curve.predicted == pytest.approx([0.025, 1.0])
    assert curve.observed == pytest.approx([0.5, 1.0])
    assert curve.count.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.6]], [0], "sum to 1"),
        ([[np.nan, 1.0]], [0], "at least 0 and sum to 1"),
        ([[0.5, 0.5]], [2], r"0\.\.1"),
        ([0.5, 0.5], [0, 1], r"\[n, K\]"),
        (np.empty((0, 2)), [], "not empty"),
    ],
)
@pytest.mark.parametrize("metric", [brier, nll, expected_calibration_error])
def test_bad_input_is_named(metric, probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        metric(probabilities, np.array(labels, dtype=int))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [({"bins": 0}, "bins is 0"), ({"binning": "other"}, "binning is 'other'")],
)
def test_bad_bins_are_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        reliability([0.5], [True], **keywords)
    with pytest.raises(ValueError, match="outside"):
        reliability([1.5], [True])
