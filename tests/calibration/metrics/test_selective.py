from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.metrics import augrc, aurc, failure_auroc, risk_coverage_curve, selective_risk_at

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)


def augrc_by_trapezoid(errors, confidence):
    """The definition: the area under P(answered and wrong) over P(answered), straight lines over ties."""
    errors, confidence = np.asarray(errors, dtype=float), np.asarray(confidence, dtype=float)
    area, last = 0.0, (0.0, 0.0)
    for threshold in sorted(set(confidence), reverse=True):
        answered = confidence >= threshold
        point = answered.mean(), (errors * answered).mean()
        area += (point[0] - last[0]) * (point[1] + last[1]) / 2
        last = point
    return area


@pytest.mark.parametrize(
    ("errors", "confidence", "expected"),
    [
        ([0, 0, 1, 1], [0.9, 0.8, 0.7, 0.6], 0.125),
        ([1, 1, 0, 0], [0.9, 0.8, 0.7, 0.6], 0.375),
        ([True, *[False] * 9], [0.5] * 10, 0.05),
        ([*[False] * 9, True], [0.5] * 10, 0.05),
        ([0, 0], [0.1, 0.2], 0.0),
        ([1, 1], [0.1, 0.2], 0.5),
        ([0, 1], [np.inf, -np.inf], 0.125),
    ],
)
def test_augrc_golden_values(errors, confidence, expected):
    assert augrc(errors, confidence) == pytest.approx(expected, abs=1e-15)


@given(rows)
def test_augrc_is_the_area_under_the_generalised_risk(data):
    errors, confidence = [e for e, _ in data], [float(c) for _, c in data]
    assert augrc(errors, confidence) == pytest.approx(augrc_by_trapezoid(errors, confidence), abs=1e-12)


@given(rows)
def test_augrc_decomposes_into_accuracy_and_ranking(data):
    errors, confidence = [e for e, _ in data], [float(c) for _, c in data]
    accuracy = 1 - float(np.mean(errors))
    if 0 < accuracy < 1:
        ranking = failure_auroc(errors, confidence)
        expected = (1 - ranking) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
        assert augrc(errors, confidence) == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(failure_auroc(errors, confidence))


@given(rows, st.randoms(use_true_random=False))
def test_ranking_metrics_ignore_row_order_and_the_scale_of_the_confidence(data, random):
    shuffled = list(data)
    random.shuffle(shuffled)
    for metric in (augrc, aurc, lambda e, c: selective_risk_at(e, c, 0.5)):
        before = metric([e for e, _ in data], [float(c) for _, c in data])
        after = metric([e for e, _ in shuffled], [np.exp(c / 3) - 9 for _, c in shuffled])
        assert before == pytest.approx(after, abs=1e-12)


@given(rows)
def test_a_random_ranking_lies_between_the_best_and_the_worst(data):
    errors = np.array([e for e, _ in data])
    best, worst, tied = augrc(errors, ~errors), augrc(errors, errors), augrc(errors, np.zeros(len(errors)))
    assert best == pytest.approx(errors.mean() ** 2 / 2)
    assert tied == pytest.approx(errors.mean() / 2)
    assert best <= augrc(errors, [c for _, c in data]) <= worst


def test_aurc_averages_over_the_orders_of_ties():
    errors, confidence = np.array([0, 1, 0, 1]), np.array([0.9, 0.5, 0.5, 0.1])
    by_hand = [
        np.mean(np.cumsum(errors[[0, *middle, 3]]) / np.arange(1, 5)) for middle in permutations([1, 2])
    ]
    assert aurc(errors, confidence) == pytest.approx(np.mean(by_hand))
    assert aurc([0, 0, 1], [3, 2, 1]) == pytest.approx(1 / 9)


def test_risk_coverage_curve_by_hand():
    curve = risk_coverage_curve([0, 1, 0, 1, 0], [0.9, 0.7, 0.7, 0.2, 0.1])
    assert curve.threshold.tolist() == [0.9, 0.7, 0.2, 0.1]
    assert curve.coverage == pytest.approx([0.2, 0.6, 0.8, 1.0])
    assert curve.selective_risk == pytest.approx([0, 1 / 3, 1 / 2, 2 / 5])
    assert curve.generalised_risk == pytest.approx([0, 0.2, 0.4, 0.4])


@pytest.mark.parametrize(
    ("coverage", "expected"), [(0.2, 0.0), (0.21, 1 / 3), (0.6, 1 / 3), (0.8, 1 / 2), (1, 2 / 5)]
)
def test_selective_risk_answers_ties_together(coverage, expected):
    assert selective_risk_at([0, 1, 0, 1, 0], [0.9, 0.7, 0.7, 0.2, 0.1], coverage) == pytest.approx(expected)


def test_selective_risk_is_not_fooled_by_rounding():
    confidence = np.arange(100, 0, -1)
    errors = confidence <= 93  # the eighth most confident answer is the first wrong one
    assert 0.07 * 100 > 7
    assert selective_risk_at(errors, confidence, 0.07) == 0.0


@pytest.mark.parametrize("metric", [augrc, aurc, failure_auroc, risk_coverage_curve])
@pytest.mark.parametrize(
    ("errors", "confidence", "message"),
    [
        ([0, 1], [0.5, np.nan], "NaN at row 1"),
        ([0, 2], [0.5, 0.4], "errors is .*2.* at row 1"),
        ([0, 1, 1], [0.5, 0.4], "shape"),
        ([], [], "empty"),
        ([[0, 1]], [[0.5, 0.4]], "one-dimensional"),
    ],
)
def test_bad_input_is_named(metric, errors, confidence, message):
    with pytest.raises(ValueError, match=message):
        metric(errors, confidence)


@pytest.mark.parametrize("coverage", [0.0, -0.1, 1.01, float("nan")])
def test_selective_risk_needs_a_share(coverage):
    with pytest.raises(ValueError, match="coverage is"):
        selective_risk_at([0, 1], [0.5, 0.4], coverage)
