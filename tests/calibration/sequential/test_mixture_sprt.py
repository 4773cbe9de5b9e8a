"""The mixture SPRT by its formula, at every look of A/A streams, and on a real difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from calibration import mixture_sprt


def streams(rates: tuple[float, float], runs: int, units: int, seed: int) -> NDArray[np.float64]:
    """Values [runs, units] after each pair of units."""
    rng = np.random.default_rng(seed)
    wins = np.stack([np.cumsum(rng.random((runs, units)) < rate, axis=1) for rate in rates], axis=-1)
    trials = np.broadcast_to(np.arange(1, units + 1)[:, None], wins.shape)
    return mixture_sprt(wins, trials)


def test_the_formula() -> None:
    pooled = 140 / 300
    variance = pooled * (1 - pooled) * (1 / 100 + 1 / 200)
    difference, spread = 90 / 200 - 50 / 100, 0.1
    expected = math.sqrt(variance / (variance + spread**2)) * math.exp(
        spread**2 * difference**2 / (2 * variance * (variance + spread**2))
    )
    assert mixture_sprt([50, 90], [100, 200], spread=spread) == pytest.approx(expected, rel=1e-12)


def test_equal_arms_are_rarely_told_apart_at_any_look() -> None:
    values = streams((0.85, 0.85), 300, 4_000, 1)
    assert (values.max(axis=1) >= 20.0).mean() <= 0.05


def test_a_real_difference_is_found() -> None:
    values = streams((0.85, 0.91), 60, 4_000, 2)
    assert (values.max(axis=1) >= 20.0).mean() >= 0.95


def test_few_units_prove_nothing() -> None:
    np.testing.assert_array_equal(mixture_sprt([[0, 4], [0, 0]], [[100, 4], [0, 0]]), [1.0, 1.0])


@pytest.mark.parametrize(
    ("wins", "trials", "spread", "message"),
    [
        ([1, 2, 3], [4, 5, 6], 0.1, "both must be"),
        ([5, 2], [4, 5], 0.1, "between 0 and"),
        ([1, 2], [4, float("inf")], 0.1, "between 0 and"),
        ([1, 2], [4, 5], 0.0, "spread is 0"),
    ],
)
def test_malformed_counts_are_refused(
    wins: ArrayLike, trials: ArrayLike, spread: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mixture_sprt(wins, trials, spread=spread)
