"""The planned chance of a step: close to the share of simulated splits in which it passes."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import RiskTarget, most_errors
from calibration.planning.chance import chance_to_pass

DRAWS = 4000


@pytest.mark.parametrize(
    ("coverage", "risk", "alpha"), [(0.5, 0.002, 0.01), (0.8, 0.006, 0.01), (0.6, 0.02, 0.05)]
)
def test_the_chance_is_that_of_simulated_splits(coverage: float, risk: float, alpha: float) -> None:
    rng, select, calib, target = np.random.default_rng(0), 1200, 1500, RiskTarget(alpha=alpha)
    share = rng.binomial(select, coverage, DRAWS) / select
    answered = rng.binomial(calib, share)
    passed = rng.binomial(answered, risk) <= most_errors(answered, alpha, target.delta)
    chance = chance_to_pass(np.array([coverage]), np.array([risk]), select, calib, target)
    # Four standard deviations of the simulation, and the nine nodes in place of a normal distribution.
    assert chance[0] == pytest.approx(passed.mean(), abs=4 * 0.5 / DRAWS**0.5 + 0.01)


def test_without_enough_units_there_is_no_chance() -> None:
    few = chance_to_pass(np.array([0.5, 1.0]), np.array([0.0, 0.0]), 100, 200, RiskTarget(alpha=0.01))
    assert few.tolist() == [0.0, 0.0]
