"""Plans and certificates scale with alpha and delta: a good model nearly reaches the oracle's coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fakes.worlds import CascadeWorld
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import (
    CascadeScores,
    RiskTarget,
    cascade_usage,
    certify,
    certify_cascade,
    plan_cascade,
    plan_thresholds,
)

ORACLE = 0.9
"""Coverage at which the risk of the model is exactly alpha"""
EXPECTED_ERRORS = 150
"""alpha times the number of calibration units: as much evidence at every alpha"""
TEST_IMAGES = 100_000
DRAWS = 4

targets = st.builds(
    RiskTarget,
    alpha=st.floats(math.log(0.001), math.log(0.3)).map(lambda log: round(math.exp(log), 5)),
    delta=st.floats(0.01, 0.2).map(lambda delta: round(delta, 3)),
    min_coverage=st.just(0.0),
)


def draw(rng: np.random.Generator, n: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and errors [n]: an error rate of 3.704 alpha u^2 at depth u, alpha on average up to .9."""
    depth = rng.random(n)
    return 1.0 - depth, rng.random(n) < 3.704 * alpha * depth**2


def draw_both(rng: np.random.Generator, n: int, alpha: float) -> CascadeScores:
    """Stage B as above, and a stage A with an error rate half as high again."""
    return CascadeScores.read(*draw(rng, n, 1.5 * alpha), *draw(rng, n, alpha))


@given(target=targets, seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_one_stage_nearly_reaches_the_oracle_at_every_alpha_and_delta(target: RiskTarget, seed: int) -> None:
    rng, n = np.random.default_rng(seed), math.ceil(EXPECTED_ERRORS / target.alpha)
    reached = []
    for _ in range(DRAWS):
        grid = plan_thresholds(*draw(rng, n, target.alpha), n, target)
        threshold = certify(*draw(rng, n, target.alpha), grid, target).threshold
        reached.append(0.0 if threshold is None else 1.0 - float(threshold))
    # The median: once in ten thousand draws two errors come first, and nothing is certified.
    assert np.median(reached) > ORACLE - 0.2


@given(target=targets, seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_cascade_nearly_reaches_the_oracle_of_its_strong_stage(target: RiskTarget, seed: int) -> None:
    rng, n = np.random.default_rng(seed), math.ceil(EXPECTED_ERRORS / target.alpha)
    reached = []
    for _ in range(DRAWS):
        path = plan_cascade(draw_both(rng, n, target.alpha), 1.0, 10.0, n, target, 1.0)
        threshold = certify_cascade(draw_both(rng, n, target.alpha), path, target).threshold
        fresh = draw_both(rng, TEST_IMAGES, target.alpha)
        usage = cascade_usage(fresh, threshold or (math.inf, math.inf), 1.0, 10.0)
        reached.append(usage.coverage)
    assert np.median(reached) > ORACLE


@pytest.mark.parametrize("accuracy", [0.95, 0.97])
def test_two_thousand_photographs_certify_five_per_cent(accuracy: float) -> None:
    """190 images for selection and 374 for calibration, as `demur train --alpha 0.05` divides 2,000."""
    target, rng = RiskTarget(alpha=0.05), np.random.default_rng(1)
    world = CascadeWorld(accuracy - 0.04, accuracy)
    reached = []
    for _ in range(30):
        path = plan_cascade(CascadeScores.read(*world.draw(rng, 190)), 1.0, 10.0, 374, target)
        certificate = certify_cascade(CascadeScores.read(*world.draw(rng, 374)), path, target)
        reached.append(certificate.coverage)
    assert np.mean(reached) > 0.85
