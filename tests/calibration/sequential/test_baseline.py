"""The baseline's bound against SciPy and by simulation; the detector beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from calibration.bounds import clopper_pearson_upper
from calibration.sequential import AuditSums, audit_weights, worse_detector
from calibration.sequential.baseline import beta_quantile


def sums(wrong: list[bool], weights: list[float]) -> AuditSums:
    total = AuditSums()
    for one, weight in zip(wrong, weights, strict=True):
        total = total.plus(one, weight)
    return total


@given(st.floats(0.01, 0.99), st.floats(0.5, 300), st.floats(0.5, 30_000))
def test_the_beta_quantile_is_scipys(level: float, a: float, b: float) -> None:
    assert beta_quantile(level, a, b) == pytest.approx(stats.beta.ppf(level, a, b), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(("errors", "audits"), [(0, 300), (1, 1), (3, 100), (25, 5_000), (5_000, 5_000)])
def test_equal_weights_give_the_bound_of_the_counts(errors: int, audits: int) -> None:
    total = sums([True] * errors + [False] * (audits - errors), [2.0] * audits)
    assert total.upper_bound(0.9) == pytest.approx(clopper_pearson_upper(errors, audits, 0.1), rel=1e-9)


def test_no_audit_bounds_nothing() -> None:
    assert AuditSums().upper_bound() == 1.0


def test_sums_of_two_times_add_up() -> None:
    wrong, weights = [True, False, False, True], [0.4, 1.3, 0.9, 2.5]
    halves = sums(wrong[:2], weights[:2]) + sums(wrong[2:], weights[2:])
    assert halves.upper_bound() == pytest.approx(sums(wrong, weights).upper_bound(), rel=1e-12)


def test_the_bound_holds_for_audits_by_confidence() -> None:
    rng = np.random.default_rng(3)
    rates = rng.random(4_000) ** 30 * 0.15
    weights = audit_weights(rates)
    missed = 0
    for _ in range(200):
        audited = rng.random(4_000) < 0.2 * weights
        wrong = rng.random(4_000) < rates
        total = sums(wrong[audited].tolist(), (1.0 / weights[audited]).tolist())
        missed += total.upper_bound() < rates.mean()
    assert missed <= stats.binom.ppf(0.999, 200, 0.1)


def test_a_lower_baseline_bets_more() -> None:
    alike, lower = worse_detector(0.01, 0.01), worse_detector(0.0025, 0.01)
    for detector in (alike, lower):
        for k in range(300):
            detector.update(k % 60 == 0)
    assert lower.value > 2.0 * alike.value


def test_a_tiny_baseline_is_not_ruined() -> None:
    detector = worse_detector(1e-9, 0.5)
    detector.repeat(10_000)
    assert detector.value > 0.0


@pytest.mark.parametrize("baseline", [0.0, -1.0, 0.02, float("nan")])
def test_a_baseline_above_alpha_is_refused(baseline: float) -> None:
    with pytest.raises(ValueError, match="baseline is"):
        worse_detector(baseline, 0.01)
