"""Intervals of the Matthews correlation and of means of shares: by hand, at the edges, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.metrics import confusion_mcc, mcc_interval, mean_of_shares, wilson_interval
from calibration.scores import FloatArray


def world(prevalence: float, accuracy: float) -> FloatArray:
    """Cell probabilities of two classes that are equally often mistaken."""
    wrong = 1 - accuracy
    return np.array(
        [[(1 - prevalence) * accuracy, (1 - prevalence) * wrong], [prevalence * wrong, prevalence * accuracy]]
    )


def confused(classes: int, accuracy: float) -> FloatArray:
    """Cell probabilities of equally frequent classes that are equally often mistaken for each other."""
    cells = np.full((classes, classes), (1 - accuracy) / (classes * (classes - 1)))
    np.fill_diagonal(cells, accuracy / classes)
    return cells


@pytest.mark.parametrize(
    ("cells", "n"),
    [
        *((world(0.5, accuracy), n) for accuracy in (0.6, 0.8, 0.95, 0.99) for n in (10, 50, 100, 1000)),
        *((world(prevalence, 0.95), n) for prevalence in (0.2, 0.1) for n in (50, 100, 1000)),
        *((confused(5, 0.9), n) for n in (50, 100, 1000)),
    ],
)
def test_the_interval_holds_the_true_correlation_as_often_as_it_says(cells: FloatArray, n: int) -> None:
    rng = np.random.default_rng(n)
    true, draws, held = confusion_mcc(cells), 400, 0
    for counts in rng.multinomial(n, cells.ravel(), size=draws):
        low, high = mcc_interval(counts.reshape(cells.shape))
        held += low <= true <= high
    # Wilson's interval itself holds .90 at a share of .99 and ten trials.
    assert held / draws >= 0.87


def test_equal_classes_have_the_interval_of_the_accuracy() -> None:
    low, high = wilson_interval(90, 100)
    found = mcc_interval([[45, 5], [5, 45]])
    assert found == pytest.approx((2 * low - 1, 2 * high - 1), abs=5e-3)


def test_a_window_without_an_error_is_not_certain() -> None:
    low, high = mcc_interval([[50, 0], [0, 50]])
    assert high == pytest.approx(1.0)
    assert 0.85 < low < 0.97


@pytest.mark.parametrize("matrix", [[[0, 0], [0, 0]], [[5, 0], [3, 0]], [[0, 0], [2, 9]]])
def test_one_class_alone_says_nothing(matrix: list[list[int]]) -> None:
    assert mcc_interval(matrix) == (-1.0, 1.0)


@given(cells=st.lists(st.integers(0, 300), min_size=9, max_size=9))
def test_the_interval_holds_the_figure(cells: list[int]) -> None:
    matrix = np.array(cells).reshape(3, 3)
    low, high = mcc_interval(matrix)
    assert -1.0 <= low <= confusion_mcc(matrix) + 1e-9
    assert confusion_mcc(matrix) - 1e-9 <= high <= 1.0


def test_one_share_has_its_own_interval() -> None:
    assert mean_of_shares([7], [9]) == pytest.approx((7 / 9, *wilson_interval(7, 9)))


def test_a_mean_of_shares_by_hand() -> None:
    mean, low, high = mean_of_shares([8, 0, 3], [10, 0, 4])
    (low_1, high_1), (low_2, high_2) = wilson_interval(8, 10), wilson_interval(3, 4)
    assert mean == pytest.approx((0.8 + 0.75) / 2)
    assert low == pytest.approx(mean - np.hypot(0.8 - low_1, 0.75 - low_2) / 2)
    assert high == pytest.approx(mean + np.hypot(high_1 - 0.8, high_2 - 0.75) / 2)


def test_no_share_has_no_mean() -> None:
    assert mean_of_shares([0, 0], [0, 0]) == (None, 0.0, 1.0)
