"""Unlabelled scores that are a mixture of the classes' scores pass; others are rejected."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.shifted_worlds import SHIFTED

from calibration import check_mixture


def test_an_exact_mixture_has_no_distance() -> None:
    classes = np.repeat([0, 1], [4, 2])
    scores = np.array([1.0, 2.0, 3.0, 4.0, 10.0, 20.0])
    found = check_mixture(scores, classes, [1.0, 2.0, 3.0, 4.0, 10.0, 10.0, 20.0, 20.0])
    assert found.distance == pytest.approx(0.0, abs=1e-6)
    assert found.share == pytest.approx(0.5, abs=1e-6)
    assert found.p_value == 1.0
    assert not found.rejected


def test_the_distance_by_hand() -> None:
    """Class 0 at 0, class 1 at 1, the new ones between them: every mixture differs by a half or more."""
    found = check_mixture([0.0, 0.0, 1.0, 1.0], np.array([0, 0, 1, 1]), [0.5] * 8)
    assert found.distance == pytest.approx(0.5)
    assert found.share == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(("moved", "rejected"), [(0.0, False), (1.0, True)])
def test_a_shift_of_labels_passes_and_a_shift_of_images_does_not(moved: float, rejected: bool) -> None:
    rng = np.random.default_rng(2)
    scores, classes = SHIFTED.draw(rng, 2000, 0.2)
    unlabelled, _ = SHIFTED.draw(rng, 5000, 0.35, moved)
    found = check_mixture(scores, classes, unlabelled)
    assert found.rejected == rejected
    if rejected:
        assert found.p_value == 1 / 200
    else:
        assert found.share == pytest.approx(0.35, abs=0.03)


def test_the_order_of_the_images_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    scores, classes = SHIFTED.draw(rng, 300, 0.4)
    unlabelled, _ = SHIFTED.draw(rng, 400, 0.1)
    order = rng.permutation(300)
    assert check_mixture(scores, classes, unlabelled) == check_mixture(
        scores[order], classes[order], unlabelled[::-1]
    )


@pytest.mark.parametrize(
    ("classes", "unlabelled", "message"),
    [([0, 0], [1.0], "2, 0 units per class"), ([0, 1], [], "0 unlabelled"), ([0, 1], [np.nan], "finite")],
)
def test_what_cannot_be_compared(classes: list[int], unlabelled: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_mixture([1.0, 2.0], np.array(classes), unlabelled)
