"""The look-ahead test: its table, its certificates, and what they say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from fakes.worlds import gaussian
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import Certificate, CertifiedOn, RiskTarget, Sampling, certify, most_errors
from calibration.exact.look_ahead import _run_length, look_ahead_table

TARGET = RiskTarget()


def test_every_rank_is_tested_at_delta_by_full_enumeration() -> None:
    """At an error rate of exactly alpha each T_j has a probability of at most delta, over all outcomes."""
    n, start, alpha, delta = 14, 5, 0.4, 0.2
    allowed, needed = look_ahead_table(n, start, alpha, delta)
    passed = np.zeros(n + 1)
    gained = np.zeros(n + 1)
    for outcome in product((0, 1), repeat=n):
        errors = np.cumsum(outcome)
        chance = alpha ** errors[-1] * (1 - alpha) ** (n - errors[-1])
        run = 0
        for j in range(n, start - 1, -1):
            excess = errors[j - 1] - allowed[j]
            passes = excess <= 0 or (excess == 1 and run >= needed[j])
            run = run + 1 if passes else 0
            passed[j] += chance * passes
            gained[j] += chance * (passes and excess == 1)
    assert passed.max() <= delta + 1e-12
    assert (gained > 0).sum() >= 3
    assert most_errors(np.arange(n + 1), alpha, delta).tolist() == allowed.tolist()


@given(seed=st.integers(0, 500))
@settings(max_examples=25, deadline=None)
def test_it_contains_the_exact_test_at_every_rank(seed: int) -> None:
    wrong = np.random.default_rng(seed).random(900) < np.linspace(0.0, 0.03, 900)
    start, run = 473, 0
    errors = np.cumsum(wrong)
    allowed = most_errors(np.arange(901), 0.01, 0.05)
    while start + run <= 900 and errors[start + run - 1] <= allowed[start + run]:
        run += 1
    assert _run_length(wrong, start, TARGET) >= run


@given(seed=st.integers(0, 500))
@settings(max_examples=25, deadline=None)
def test_a_further_error_never_certifies_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrong = rng.random(900) < np.linspace(0.0, 0.02, 900)
    worse = wrong.copy()
    worse[rng.integers(0, 900)] = True
    assert _run_length(worse, 473, TARGET) <= _run_length(wrong, 473, TARGET)


def test_it_answers_more_than_the_exact_test_and_states_its_assumption() -> None:
    world, rng = gaussian(0.95), np.random.default_rng(0)
    gains = []
    for _ in range(60):
        scores = world.draw(rng, 1000)
        ahead = certify(*scores, None, TARGET, method="look-ahead", certified_on=CertifiedOn("d", "e"))
        gains.append(ahead.coverage - certify(*scores, None, TARGET).coverage)
        if ahead.feasible:
            assert ahead.answered == (scores[0] >= ahead.threshold).sum()
            assert ahead.errors == scores[1][scores[0] >= ahead.threshold].sum()
            assert ahead.risk_upper_bound == TARGET.alpha
            assert "errors never become rarer as the confidence falls" in ahead.sentence()
            assert Certificate.from_dict(ahead.to_dict()) == ahead
    assert np.mean(gains) > 0.0


def test_ties_are_answered_together_or_not_at_all() -> None:
    rng = np.random.default_rng(1)
    confidence = np.round(rng.random(2000), 1)
    wrong = rng.random(2000) < 0.03 * (1 - confidence) ** 3
    certificate = certify(confidence, wrong, None, TARGET, method="look-ahead")
    assert certificate.feasible
    assert certificate.answered == (confidence >= certificate.threshold).sum()
    one_block = certify(np.ones(2000), np.zeros(2000), None, TARGET, method="look-ahead")
    assert one_block.answered == 2000


@pytest.mark.parametrize("n", [0, 1, 200, 300, 473])
def test_small_splits(n: int) -> None:
    certificate = certify(np.linspace(0, 1, n), np.zeros(n), None, TARGET, method="look-ahead")
    assert certificate.feasible is (n >= 299)
    assert certificate.answered == (n if n >= 299 else 0)


def test_hopeless_and_grouped_data() -> None:
    hopeless = certify(np.linspace(0, 1, 1000), np.ones(1000), None, TARGET, method="look-ahead")
    assert not hopeless.feasible
    groups = np.repeat(np.arange(600), 3)
    grouped = certify(np.ones(1800), np.zeros(1800), None, TARGET, Sampling(groups), method="look-ahead")
    assert (grouped.n, grouped.images) == (600, 1800)
