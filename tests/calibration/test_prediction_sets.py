from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.prediction_sets import (
    allowed_losses,
    class_conditional_thresholds,
    conformal_threshold,
    critical_for_answer,
    critical_for_set,
    largest_threshold,
    prediction_sets,
    set_report,
)

PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.5, 0.5]])


def test_all_four_sets_of_two_classes():
    sure, unsure = [0.9, 0.1], [0.55, 0.45]
    members = prediction_sets([sure, sure[::-1], unsure], 0.4)
    assert members.tolist() == [[True, False], [False, True], [True, True]]
    assert prediction_sets([unsure], 0.6).tolist() == [[False, False]]


def test_a_threshold_for_each_class():
    assert prediction_sets([[0.5, 0.3, 0.2]], [0.6, 0.3, 0.1]).tolist() == [[False, True, True]]


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.integers(0, 2)), min_size=1),
    st.floats(0, 1),
)
def test_critical_thresholds_are_where_the_losses_change(rows, threshold):
    weights = np.array([w for w, _ in rows], dtype=float) + 1
    probabilities, labels = weights / weights.sum(axis=1, keepdims=True), np.array([y for _, y in rows])
    sets = prediction_sets(probabilities, threshold)
    missed = ~sets[np.arange(len(labels)), labels]
    assert np.array_equal(missed, critical_for_set(probabilities, labels) < threshold)
    wrong_answer = missed & (sets.sum(axis=1) == 1)
    counted = critical_for_answer(probabilities, labels) < threshold
    assert not np.any(wrong_answer & ~counted)
    # What is counted beyond wrong answers are empty sets.
    assert not np.any(sets[counted & ~wrong_answer].any(axis=1))


@pytest.mark.parametrize(
    ("alpha", "m", "expected"),
    [
        (0.01, 98, -1),
        (0.01, 99, 0),
        (0.01, 149, 0),
        (0.01, 199, 1),
        (0.1, 9, 0),
        (0.29, 99, 28),  # 0.29 * 100 is 28.999999999999996
        (0.1, 70, 6),
    ],
)
def test_allowed_losses_are_whole_numbers_exactly(alpha, m, expected):
    assert allowed_losses(alpha, m) == expected
    assert (allowed_losses(alpha, m) >= 0) == (m >= math.ceil(round(1 / alpha, 9)) - 1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9]))
def test_the_largest_threshold_is_the_largest(values, alpha):
    critical = np.array(values, dtype=float)
    found = largest_threshold(critical, alpha)
    allowed = allowed_losses(alpha, len(values))
    if found is None:
        assert allowed < 0
    else:
        assert np.count_nonzero(critical < found) <= allowed < np.count_nonzero(critical < found + 0.5)


def test_conformal_sets_by_hand():
    # Five units at alpha = 1/2: floor(3) - 1 = 2 losses are allowed, so the third smallest p of the label.
    p = np.array([0.2, 0.9, 0.4, 0.6, 0.8])
    probabilities = np.stack([1 - p, p], axis=1)
    assert conformal_threshold(probabilities, np.ones(5, dtype=int), 0.5) == 0.6
    assert conformal_threshold(probabilities, np.ones(5, dtype=int), 0.1) == 0.0


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_conformal_sets_hold_the_label_as_often_as_promised(alpha):
    generator = np.random.default_rng(1)
    inside = np.zeros(400)
    of_rare = np.zeros((400, 2))
    for draw in range(400):
        labels = (generator.random(1300) < 0.15).astype(int)
        p = 1 / (1 + np.exp(-(3 * labels - 2 + generator.normal(0, 1.5, 1300))))
        probabilities = np.stack([1 - p, p], axis=1)
        fit, new = slice(0, 300), slice(300, None)
        sets = prediction_sets(
            probabilities[new], conformal_threshold(probabilities[fit], labels[fit], alpha)
        )
        inside[draw] = sets[np.arange(1000), labels[new]].mean()
        each = class_conditional_thresholds(probabilities[fit], labels[fit], alpha)
        held = prediction_sets(probabilities[new], each)[np.arange(1000), labels[new]]
        of_rare[draw] = [held[labels[new] == k].mean() for k in (0, 1)]
        if draw == 0:
            careless_rare = sets[labels[new] == 1, 1].mean()
    tolerance = 4 * inside.std() / 20
    assert 1 - alpha - tolerance < inside.mean() < 1 - alpha + 1 / 301 + tolerance
    for k in (0, 1):
        assert of_rare[:, k].mean() > 1 - alpha - 4 * of_rare[:, k].std() / 20
    assert careless_rare < of_rare[:, 1].mean() - 0.02  # the marginal promise leaves the rare class short


def test_set_report_by_hand():
    sets = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], dtype=bool)
    report = set_report(sets, np.array([1, 1, 1, 1, 0], dtype=bool), np.array([0, 0, 1, 1, 1]))
    assert (report.n, report.accepted, report.answered) == (5, 4, 2)
    assert report.set_risk == 0.5  # the wrong {1} and the empty set
    assert report.answer_risk == 0.5
    assert report.mean_set_size == 1.0
    assert report.share_by_size == (0.25, 0.5, 0.25)
    assert report.coverage == 0.4


def test_nothing_accepted_has_no_risk_to_report():
    report = set_report(np.ones((2, 2), dtype=bool), np.zeros(2, dtype=bool), np.array([0, 1]))
    assert math.isnan(report.set_risk)
    assert math.isnan(report.answer_risk)
    assert math.isnan(report.mean_set_size)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conformal_threshold([[0.5, 0.6], [0.1, np.nan]], [0, 1], 0.1), "outside"),
        (lambda: conformal_threshold([[0.5, 0.5]], [2], 0.1), r"0\.\.1"),
        (lambda: conformal_threshold([[0.5, 0.5]], [0], 1.0), "alpha is 1.0"),
        (lambda: class_conditional_thresholds([0.5], [0], 0.1), r"K >= 2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
