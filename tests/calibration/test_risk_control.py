"""SGR, conformal risk control, RCPS and Learn-then-Test."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import (
    RiskControl,
    RiskTarget,
    binomial_p_value,
    clopper_pearson_upper,
    conformal_risk_control,
    learn_then_test,
    rcps,
    sgr,
)
from calibration.risk_control import fixed_sequence_test

TARGET = RiskTarget()


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(1.88, 1.0, n)
    return np.abs(x), x < 0


def test_sgr_keeps_the_exact_bound_at_its_share_of_delta() -> None:
    confidence, errors = draw(5000)
    certificate = sgr(confidence, errors, TARGET)
    rounds = int(np.ceil(np.log2(5000)))
    assert certificate.feasible
    bound = float(clopper_pearson_upper(certificate.errors, certificate.answered, 0.05 / rounds))
    assert certificate.risk_upper_bound == bound <= 0.01
    chosen = confidence >= certificate.threshold
    assert (certificate.answered, certificate.errors) == (chosen.sum(), (chosen & errors).sum())


@pytest.mark.parametrize("n", [0, 1, 300, 900])
def test_sgr_says_what_is_missing(n: int) -> None:
    certificate = sgr(*draw(n), TARGET)
    assert not certificate.feasible
    assert "labelled images" in certificate.needed or "better classifier" in certificate.needed


def test_sgr_counts_errors_as_whole_numbers() -> None:
    """int(m * (k / m)) is k - 1 for pairs such as this one: a bound from it would be too small."""
    m, k = 1000, 57
    confidence = np.ones(m)
    errors = np.arange(m) < k
    alpha = float(clopper_pearson_upper(k, m, 0.05 / 10)) - 1e-9
    assert not sgr(confidence, errors, RiskTarget(alpha=alpha)).feasible
    assert sgr(confidence, errors, RiskTarget(alpha=alpha + 2e-9)).errors == k


def test_conformal_risk_control_chooses_the_first_column_low_enough() -> None:
    losses = np.zeros((99, 4))
    losses[:30, 0], losses[:10, 1], losses[:9, 2] = 1, 1, 1
    chosen = conformal_risk_control(losses, 0.1)
    assert chosen.index == 2  # (9 + 1) / 100 <= .1 < (10 + 1) / 100
    assert chosen.kind == "expectation"
    assert chosen.delta is None
    assert conformal_risk_control(losses, 0.005).index is None
    assert conformal_risk_control(np.zeros((0, 3)), 0.5).index is None
    with pytest.raises(ValueError, match="monotone"):
        conformal_risk_control([[0.0, 1.0]], 0.5)
    with pytest.raises(ValueError, match=r"losses must lie in \[0, 1\]"):
        conformal_risk_control([[2.0, 1.0]], 0.5)
    assert conformal_risk_control([[2.0, 0.0]] * 50, 0.5, bound=2.0).index == 1
    with pytest.raises(ValueError, match="alpha is 3"):
        conformal_risk_control([[2.0, 0.0]], 3, bound=2.0)


def monotone_losses(rng: np.random.Generator, n: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """(losses [n, T], true risks [T]): wrong if a uniform number lies below a falling level."""
    levels = np.linspace(0.3, 0.0, columns)
    return (rng.random((n, 1)) < levels).astype(float), levels


@pytest.mark.parametrize("bound", ["wsr", "hoeffding-bentkus"])
def test_rcps_holds_with_high_probability(bound: str) -> None:
    rng = np.random.default_rng(1)
    target = RiskTarget(alpha=0.1, delta=0.1)
    broken, chosen = 0, []
    for _ in range(60):
        losses, risks = monotone_losses(rng, 300, 31)
        index = rcps(losses, target, bound).index
        broken += risks[index] > target.alpha + 1e-12
        chosen.append(index)
    assert broken <= 13  # P(Bin(60, .1) > 13) < .002
    assert np.mean(chosen) < 26  # risk of .04 or more: not vacuous


def test_conformal_risk_control_holds_on_average_only() -> None:
    rng = np.random.default_rng(2)
    risks = []
    for _ in range(600):
        losses, levels = monotone_losses(rng, 200, 301)
        risks.append(levels[conformal_risk_control(losses, 0.1).index])
    assert np.mean(risks) <= 0.1 + 3 * np.std(risks) / np.sqrt(600)
    assert np.mean(np.array(risks) > 0.1) > 0.3


def test_rcps_stops_at_the_last_column_that_fails() -> None:
    losses = np.zeros((2000, 4))
    losses[:, 2] = np.arange(2000) % 2
    assert rcps(losses, TARGET, "hoeffding-bentkus").index == 3
    assert rcps(np.ones((50, 3)), TARGET).index is None
    assert rcps(np.zeros((0, 3)), TARGET).index is None
    with pytest.raises(ValueError, match="wsr"):
        rcps(losses, TARGET, "magic")


def test_learn_then_test_by_fixed_sequence_and_by_holm() -> None:
    p = np.array([0.01, 0.04, 0.06, 0.001])
    assert learn_then_test(p, 0.05).tolist() == [True, True, False, False]
    assert learn_then_test(p, 0.05, "holm").tolist() == [True, False, False, True]
    # Two starts, the first and the third, each at half of delta.
    assert fixed_sequence_test(p[[0, 1, 3, 2]], 0.05, starts=2).tolist() == [True, False, True, False]
    assert learn_then_test([], 0.05).tolist() == []
    assert learn_then_test([], 0.05, "holm").tolist() == []
    with pytest.raises(ValueError, match="fixed-sequence, holm"):
        learn_then_test(p, 0.05, "magic")
    with pytest.raises(ValueError, match="p_values"):
        learn_then_test([1.5], 0.05)
    with pytest.raises(ValueError, match="starts is 9"):
        fixed_sequence_test(p, 0.05, starts=9)


def test_learn_then_test_agrees_with_the_exact_walk() -> None:
    answered, errors = np.array([473, 628, 700]), np.array([1, 2, 4])
    rejected = learn_then_test(binomial_p_value(errors, answered, 0.01), 0.05)
    assert rejected.tolist() == [True, True, False]


def test_a_guarantee_in_expectation_has_no_delta() -> None:
    with pytest.raises(ValueError, match="delta"):
        RiskControl(0, "expectation", "x", 0.1, 0.05)
    with pytest.raises(ValueError, match="delta"):
        RiskControl(0, "pac", "x", 0.1, None)
