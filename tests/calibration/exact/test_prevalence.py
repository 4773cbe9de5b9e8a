"""Corners, sizes and draws of worlds with other class shares, by hand and by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from calibration.exact.prevalence import RUN_OUT, Prevalence, draw_key, draw_size, draw_world

TWO = ("no roadwork", "roadwork")
THREE = ("car", "bus", "bike")


def test_the_corners_of_an_interval_are_its_ends() -> None:
    prevalence = Prevalence.of((0.1, 0.4), TWO)
    np.testing.assert_allclose(prevalence.corners(), [[0.9, 0.1], [0.6, 0.4]])
    assert prevalence.stated == (0.1, 0.4)
    assert prevalence.stated_of == ("roadwork",)
    assert [prevalence.name_of(corner) for corner in prevalence.corners().tolist()] == [
        "10 % roadwork",
        "40 % roadwork",
    ]


def test_a_single_share_has_one_corner() -> None:
    np.testing.assert_allclose(Prevalence.of((0.25, 0.25), TWO).corners(), [[0.75, 0.25]])


def test_the_corners_of_a_box_of_three_shares_by_hand() -> None:
    box = ((0.2, 0.6), (0.1, 0.3), (0.3, 0.5))
    corners = Prevalence.of(box, THREE).corners()
    by_hand = [[0.6, 0.1, 0.3], [0.4, 0.1, 0.5], [0.4, 0.3, 0.3], [0.2, 0.3, 0.5]]
    np.testing.assert_allclose(corners, by_hand)
    assert Prevalence.of(box, THREE).name_of(corners[0].tolist()) == "60 % car, 10 % bus, 30 % bike"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=4))
def test_a_point_of_the_box_lies_between_its_corners(ends: list[tuple[float, float]]) -> None:
    box = tuple((min(pair), max(pair)) for pair in ends)
    names = tuple(f"class {k}" for k in range(len(box)))
    least, most = sum(low for low, _ in box), sum(high for _, high in box)
    assume(min(abs(least - 1.0), abs(most - 1.0)) > 1e-6)
    if least > 1.0 or most < 1.0:
        with pytest.raises(ValueError, match="no shares that add up to 1"):
            Prevalence.of(box, names)
        return
    corners = Prevalence.of(box, names).corners()
    np.testing.assert_allclose(corners.sum(axis=1), 1.0, atol=1e-8)
    # Every linear function is largest at a corner: by the greedy solution of this linear programme.
    for order in itertools.permutations(range(len(box))):
        gain = np.empty(len(box))
        gain[list(order)] = np.arange(len(box), 0, -1)
        shares, left = np.array([low for low, _ in box]), 1.0 - sum(low for low, _ in box)
        for k in order:
            more = min(left, box[k][1] - box[k][0])
            shares[k], left = shares[k] + more, left - more
        assert (corners @ gain).max() == pytest.approx(float(shares @ gain), abs=1e-6)


@pytest.mark.parametrize(
    ("shares", "classes", "message"),
    [
        ((0.4, 0.1), TWO, "prevalence of .*roadwork is"),
        ((-0.1, 0.4), TWO, r"within \[0, 1\]"),
        ((0.2, 1.5), TWO, r"within \[0, 1\]"),
        ((float("nan"), 0.4), TWO, r"within \[0, 1\]"),
        ((0.1, 0.4), THREE, "one interval, 0.1 to 0.4, and there are 3 classes"),
        (((0.1, 0.4), (0.1, 0.4)), THREE, "2 intervals for 3 classes"),
        (((0.5, 0.6), (0.5, 0.6), (0.1, 0.2)), THREE, "add up to 1.1"),
        (((0.1, 0.2), (0.1, 0.2), (0.1, 0.2)), THREE, "the largest to 0.6"),
    ],
)
def test_what_is_no_set_of_shares_is_named(
    shares: tuple[float, float], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Prevalence.of(shares, classes)


@pytest.mark.parametrize("classes", [7, 40])
def test_too_many_corners_are_refused(classes: int) -> None:
    box = ((0.0, 2.0 / classes),) * classes
    with pytest.raises(ValueError, match="fix the share of some classes"):
        Prevalence.of(box, [f"class {k}" for k in range(classes)]).corners()


@pytest.mark.parametrize(("zeros", "ones", "share"), [(1600, 400, 0.4), (1600, 400, 0.1), (30, 9, 0.5)])
def test_the_size_is_the_largest_that_hardly_ever_runs_out(zeros: int, ones: int, share: float) -> None:
    def runs_out(size: int) -> float:
        drawn = np.arange(size + 1)
        short = (drawn > ones) | (size - drawn > zeros)
        return float(stats.binom.pmf(drawn, size, share)[short].sum())

    size = draw_size([zeros, ones], [1.0 - share, share])
    assert runs_out(size) <= RUN_OUT < runs_out(size + 1)


def test_sizes_at_the_ends() -> None:
    assert draw_size([70, 30], [1.0, 0.0]) == 70
    assert draw_size([70, 30], [0.0, 1.0]) == 30
    assert draw_size([70, 0], [0.9, 0.1]) == 0
    assert draw_size([70, 0], [1.0, 0.0]) == 70
    assert draw_size([1600, 400], [0.6, 0.4]) == 905


def test_a_draw_takes_each_unit_once_and_has_the_counts_it_wants() -> None:
    classes = np.repeat([0, 1, 2], [500, 300, 200])
    draw = draw_world(classes, [0.3, 0.3, 0.4], (1, 2))
    assert draw.rows is not None
    assert len(set(draw.rows.tolist())) == draw.size == sum(draw.wanted)
    assert tuple(np.bincount(classes[draw.rows])) == draw.wanted


def test_counts_of_many_draws_are_binomial() -> None:
    classes = np.repeat([0, 1], [400, 100])
    wanted = np.array([draw_world(classes, [0.7, 0.3], (seed,)).wanted[1] for seed in range(1000)])
    size = draw_size([400, 100], [0.7, 0.3])
    expected = stats.binom.cdf(wanted, size, 0.3) - 0.5 * stats.binom.pmf(wanted, size, 0.3)
    assert stats.kstest(expected, "uniform").pvalue > 0.001
    assert wanted.std() == pytest.approx(np.sqrt(size * 0.21), rel=0.1)


def test_counts_of_many_draws_of_three_classes_are_multinomial() -> None:
    classes, shares = np.repeat([0, 1, 2], [900, 900, 900]), [0.5, 0.3, 0.2]
    wanted = np.array([draw_world(classes, shares, (seed,)).wanted for seed in range(1500)])
    size = draw_size([900, 900, 900], shares)
    np.testing.assert_allclose(wanted.mean(axis=0), size * np.array(shares), rtol=0.005)
    np.testing.assert_allclose(np.cov(wanted.T)[0, 1], -size * 0.15, rtol=0.2)


def test_a_draw_of_a_class_is_the_beginning_of_a_larger_one() -> None:
    classes = np.random.default_rng(0).integers(0, 2, 1000)
    few, many = (draw_world(classes, [1 - share, share], (5,)) for share in (0.1, 0.15))
    assert few.rows is not None
    assert many.rows is not None
    ones = [set(draw.rows[classes[draw.rows] == 1].tolist()) for draw in (few, many)]
    assert ones[0] < ones[1]


def test_the_key_follows_seed_and_split() -> None:
    classes = np.array([0, 0, 1])
    keys = [draw_key(0, None, classes), draw_key(1, None, classes), draw_key(0, "ab", classes)]
    assert len(set(keys)) == 3
    assert draw_key(0, None, classes) == draw_key(0, None, classes[::-1])
    assert draw_key(0, None, classes) != draw_key(0, None, np.array([0, 1, 1]))
