"""Growth of memory: distinguished from noise."""

from __future__ import annotations

import numpy as np
import pytest
from harness.memory import growth

SECONDS = np.arange(600.0)


def wandering(seed: int) -> np.ndarray:
    """Realistic memory: a level plus noise whose neighbouring samples are correlated."""
    rng = np.random.default_rng(seed)
    wander = np.zeros(len(SECONDS))
    for index in range(1, len(wander)):
        wander[index] = 0.9 * wander[index - 1] + rng.normal(0, 0.3)
    return 130.0 + wander


def test_a_leak_is_noticed() -> None:
    leaking = growth(SECONDS, wandering(0) + SECONDS / 60)
    assert leaking.grows
    assert leaking.low < 60.0 < leaking.high
    assert leaking.last - leaking.first == pytest.approx(9.2, abs=1.5)


def test_noise_is_seldom_called_growth() -> None:
    called = sum(growth(SECONDS, wandering(seed)).grows for seed in range(200))
    assert called <= 10


def test_a_steady_trickle_below_a_megabyte_is_not_called_growth() -> None:
    trickle = growth(SECONDS, 130.0 + SECONDS / 600 * 0.5)
    assert trickle.low > 0
    assert not trickle.grows


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 24"):
        growth(SECONDS[:10], SECONDS[:10])
