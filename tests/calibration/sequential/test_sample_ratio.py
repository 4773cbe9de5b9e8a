"""The sample-ratio e-value by its formula, at every look of a fair stream, and on a wrong ratio."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from calibration import sample_ratio_e_value


def highest(true: tuple[float, float], designed: tuple[float, float], units: int, seed: int) -> float:
    second = np.cumsum(np.random.default_rng(seed).random(units) < true[1])
    looks = range(99, units, 50)
    return max(sample_ratio_e_value([look + 1 - second[look], second[look]], designed) for look in looks)


def test_it_is_the_ratio_of_two_likelihoods() -> None:
    counts, shares = [40, 25, 35], [0.5, 0.2, 0.3]
    mixed = stats.dirichlet_multinomial.pmf(counts, np.multiply(shares, 200.0), 100)
    designed = stats.multinomial.pmf(counts, 100, shares)
    assert sample_ratio_e_value(counts, shares, concentration=200.0) == pytest.approx(mixed / designed)


def test_a_fair_stream_is_never_blocked() -> None:
    assert sum(highest((0.9, 0.1), (0.9, 0.1), 20_000, seed) >= 1000.0 for seed in range(40)) == 0


def test_a_wrong_ratio_is_found() -> None:
    assert all(highest((0.88, 0.12), (0.9, 0.1), 20_000, seed) >= 1000.0 for seed in range(15))


@pytest.mark.parametrize(
    ("units", "shares", "message"),
    [
        ([1], [1.0], "two or more"),
        ([1, 2], [0.5], "two or more"),
        ([-1, 2], [0.5, 0.5], "at least 0"),
        ([1, 2], [0.5, 0.6], "1 in sum"),
        ([1, 2], [0.0, 1.0], "positive"),
    ],
)
def test_malformed_designs_are_refused(units: list[int], shares: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_ratio_e_value(units, shares)


def test_a_bad_concentration_is_refused() -> None:
    with pytest.raises(ValueError, match="concentration is 0"):
        sample_ratio_e_value([1, 2], [0.5, 0.5], concentration=0.0)
