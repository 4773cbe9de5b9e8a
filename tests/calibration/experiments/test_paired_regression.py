"""Regression on the same images: McNemar by hand, the bound of the loss, and the number that would decide."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.experiments.paired_regression import (
    PairedCounts,
    answers_to_decide,
    images_to_decide,
    largest_loss,
    regression_p_value,
)
from calibration.experiments.shadow_pairs import sign_flip_p_value

counts = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2000)).map(
    lambda drawn: PairedCounts(sum(drawn), drawn[0], drawn[1])
)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (5, 0), (9, 1), (4, 4), (1, 9)])
def test_the_p_value_is_the_binomial_tail(lost: int, won: int) -> None:
    d = lost + won
    by_hand = sum(comb(d, k) for k in range(lost, d + 1)) / 2**d
    assert regression_p_value(PairedCounts(100, lost, won)) == pytest.approx(by_hand)


def test_it_is_half_of_the_two_sided_test_where_both_are_defined() -> None:
    import numpy as np

    two_sided = sign_flip_p_value(np.array([1] * 3 + [-1] * 11, dtype=np.int64))
    assert regression_p_value(PairedCounts(50, 11, 3)) == pytest.approx(two_sided / 2)


def test_without_a_difference_the_loss_is_bounded_by_the_rule_of_the_missing_event() -> None:
    # 1 - (1 - psi)^n at a fifth of the level
    assert largest_loss(PairedCounts(400, 0, 0), 0.05) == pytest.approx(1.0 - 0.01 ** (1 / 400))
    assert largest_loss(PairedCounts(0, 0, 0), 0.05) == 1.0


@given(counts, st.integers(1, 20))
def test_more_lost_images_never_help(found: PairedCounts, more: int) -> None:
    more = min(more, found.images - found.discordant)
    worse = PairedCounts(found.images, found.lost + more, found.won)
    assert regression_p_value(worse) <= regression_p_value(found) + 1e-12
    assert largest_loss(worse, 0.05) >= largest_loss(found, 0.05) - 1e-12


@given(counts)
def test_the_bound_covers_the_loss_that_was_seen(found: PairedCounts) -> None:
    seen = (found.lost - found.won) / found.images if found.images else 0.0
    assert seen - 1e-12 <= largest_loss(found, 0.05) <= 1.0


@given(counts)
def test_the_number_that_would_decide_decides(found: PairedCounts) -> None:
    needed = images_to_decide(found, 0.05, 0.02)
    assert needed is not None
    grown = found.scaled(needed)
    assert regression_p_value(grown) <= 0.05 or largest_loss(grown, 0.05) <= 0.02


def test_few_images_need_more_and_many_need_none() -> None:
    assert images_to_decide(PairedCounts(20, 0, 0), 0.05, 0.02) == pytest.approx(229, abs=10)
    assert images_to_decide(PairedCounts(5000, 10, 10), 0.05, 0.02) == 5000
    assert answers_to_decide(0, 10, 0.05, 0.01, 0.02) == pytest.approx(149, abs=10)
    # A risk between what is promised and the limit may take more than anybody has.
    assert answers_to_decide(20, 1000, 0.05, 0.0199999, 0.0200001) is None


@pytest.mark.parametrize(("images", "lost", "won"), [(5, 4, 2), (5, -1, 2)])
def test_counts_that_do_not_fit_are_refused(images: int, lost: int, won: int) -> None:
    with pytest.raises(ValueError, match="no parts of"):
        PairedCounts(images, lost, won)
