"""Agreement: exact where it can be counted, and an interval that holds the truth at every look."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.experiments import Alike, agreement


def alike(same: list[int], requests: list[int]) -> Alike:
    counts = np.array(requests), np.array(same)
    return Alike(*counts, counts[0], counts[0])


def test_the_shares_are_those_of_requests() -> None:
    found = agreement(Alike(*map(np.array, ([4, 1], [3, 1], [2, 0], [4, 1]))))
    assert (found.units, found.requests) == (2, 5)
    assert (found.share, found.answered, found.control_answered) == (0.8, 0.4, 1.0)


def test_no_request_says_nothing() -> None:
    found = agreement(alike([], []))
    assert (found.units, found.requests, found.share, found.low, found.answered) == (0, 0, None, None, None)


def test_units_that_all_agree_are_not_certain() -> None:
    few, many = agreement(alike([1] * 20, [1] * 20)), agreement(alike([1] * 2000, [1] * 2000))
    assert few.low is not None
    assert many.low is not None
    assert few.low < 0.9 < many.low < 1.0 == many.high


def test_the_interval_holds_the_share_at_every_look() -> None:
    draw = np.random.default_rng(5)
    missed = 0
    for _ in range(200):
        requests = draw.integers(1, 6, 2000)
        # Requests of a unit depend on each other.
        same = draw.binomial(requests, draw.beta(9.0, 1.0, 2000))
        looks = [
            agreement(Alike(*[column[:n] for column in (requests, same, same, same)]), 0.05)
            for n in (50, 100, 200, 500, 1000, 2000)
        ]
        missed += any(not (one.low or 0.0) <= 0.9 <= (one.high or 0.0) for one in looks)
    # Of 200 courses at 5 % more than 20 have a chance below 1 in 1,000.
    assert missed <= 20


@pytest.mark.parametrize("counts", [([1], [2], [0], [0]), ([1], [-1], [0], [0]), ([1, 1], [1], [1], [1])])
def test_counts_that_do_not_fit_are_refused(counts: tuple[list[int], ...]) -> None:
    with pytest.raises(ValueError, match="part of the requests"):
        Alike(*map(np.array, counts))


def test_a_level_lies_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="level is 1"):
        agreement(alike([1], [1]), 1)
