from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.metrics import (
    balanced_mcc,
    confusion_matrix,
    confusion_mcc,
    mcc,
    recall,
    specificity,
    wilson_interval,
)


def test_mcc_by_hand():
    labels = [1] * 6 + [0] * 4
    predictions = [1, 1, 1, 1, 0, 0, 0, 0, 0, 1]
    expected = (4 * 3 - 1 * 2) / np.sqrt(5 * 6 * 4 * 5)  # (tp tn - fp fn) / sqrt(...)
    assert confusion_matrix(labels, predictions).tolist() == [[3, 1], [2, 4]]
    assert mcc(labels, predictions) == pytest.approx(expected)
    assert confusion_mcc([[3, 2], [1, 4]]) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_mcc_is_the_correlation_of_indicator_vectors(data):
    labels, predictions = np.array(data).T
    truth, answer = np.eye(4)[labels], np.eye(4)[predictions]
    truth, answer = truth - truth.mean(axis=0), answer - answer.mean(axis=0)
    spread = np.sqrt((truth**2).sum() * (answer**2).sum())
    expected = (truth * answer).sum() / spread if spread > 1e-9 else 0.0
    assert mcc(labels, predictions) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 1, 1]])
@pytest.mark.parametrize("predictions", [[0, 0, 0], [1, 1, 1]])
def test_mcc_is_zero_where_its_denominator_is(labels, predictions):
    assert mcc(labels, predictions) == 0.0
    assert balanced_mcc(labels, predictions) == 0.0


def test_balanced_mcc_does_not_depend_on_prevalence():
    # Recall 0.8 and specificity 0.9 at two prevalences.
    even = confusion_rows([(1, 1, 8), (1, 0, 2), (0, 0, 9), (0, 1, 1)])
    rare = confusion_rows([(1, 1, 8), (1, 0, 2), (0, 0, 900), (0, 1, 100)])
    expected = 0.7 / np.sqrt(0.9 * 1.1)
    assert balanced_mcc(*even) == pytest.approx(expected)
    assert balanced_mcc(*rare) == pytest.approx(expected)
    assert mcc(*rare) < mcc(*even) - 0.3


def confusion_rows(cells):
    labels, predictions, counts = np.array(cells).T
    return np.repeat(labels, counts), np.repeat(predictions, counts)


def test_recall_and_specificity():
    labels, predictions = confusion_rows([(1, 1, 3), (1, 0, 1), (0, 0, 8), (0, 1, 2)])
    assert recall(labels, predictions) == pytest.approx(0.75)
    assert specificity(labels, predictions) == pytest.approx(0.8)
    assert recall(labels, predictions, positive=0) == specificity(labels, predictions)
    assert np.isnan(recall([0, 0], [0, 1]))
    assert np.isnan(specificity([1, 1], [0, 1]))


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "2 rows"),
        ([], [], "empty|type"),
        ([0.5], [1], "labels has type float64"),
        ([0, -1], [0, 1], "labels is -1"),
        ([[0]], [[1]], "one-dimensional"),
    ],
)
def test_bad_input_is_named(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        mcc(labels, predictions)


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(ValueError, match="with 2 classes"):
        confusion_matrix([0, 2], [0, 1], classes=2)


def test_wilson_interval_golden_values():
    # 15 of 50: centre (0.3 + z^2/100) / (1 + z^2/50), z = 1.959964
    assert wilson_interval(15, 50) == pytest.approx((0.19103, 0.43752), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-4)
    assert wilson_interval(10, 10)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="hits is 3 of n = 2"):
        wilson_interval(3, 2)
