"""A policy whose parts contradict each other is refused; every certificate that is really issued passes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from bundle.policy import CertificateEntry, _binomial_tail
from calibration.certificate import Certificate, RiskTarget
from calibration.decision import OperatingPoint, StageRule
from calibration.exact.fixed_sequence import certify
from calibration.exact.group_betting import certify_group_means
from calibration.groups import Sampling


def entry(certificate: Certificate) -> CertificateEntry:
    """The entry of a one-stage bundle."""
    point = OperatingPoint((StageRule(threshold=certificate.threshold),))  # type: ignore[arg-type]
    engine = certificate.engine or "onnxruntime-cpu/fp32"
    name, _, precision = engine.partition("/")
    return CertificateEntry(engine=name, precision=precision, certificate=certificate, operating_point=point)


def issued(n: int = 2000, alpha: float = 0.01, delta: float = 0.05, seed: int = 0) -> Certificate:
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    wrong = rng.random(n) < 0.2 * (1.0 - confidence) ** 3
    return certify(confidence, wrong, None, RiskTarget(alpha, delta))


@given(
    n=st.integers(50, 1500),
    alpha=st.floats(0.002, 0.3),
    delta=st.floats(0.01, 0.3),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=15, deadline=None)
def test_every_certificate_of_the_exact_methods_passes(n: int, alpha: float, delta: float, seed: int) -> None:
    entry(issued(n, alpha, delta, seed))
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    wrong = rng.random(n) < 0.2 * (1.0 - confidence) ** 3
    grid = np.sort(rng.random(9))[::-1]
    target = RiskTarget(alpha, delta)
    entry(certify(confidence, wrong, grid, target, method="grid"))
    drawn = Sampling(uniform=float(rng.random()))
    entry(certify(confidence, wrong, grid, target, drawn, method="randomised"))
    entry(certify(confidence, wrong, grid, target, method="look-ahead"))
    groups = rng.integers(0, max(2, n // 5), n)
    entry(certify(confidence, wrong, grid, target, Sampling(groups=groups)))
    if alpha < 0.1:  # so that every bet keeps some of the capital
        entry(certify_group_means(confidence, wrong, grid, target, Sampling(groups=groups)))


def test_a_promise_that_the_counts_do_not_prove() -> None:
    good = issued()
    assert good.feasible
    assert good.risk_upper_bound is not None
    forged: list[dict[str, Any]] = [
        {"alpha": 0.001, "errors": 0, "risk_upper_bound": 0.001},
        {"alpha": 0.001},
        {"risk_upper_bound": good.risk_upper_bound / 3},
        {"risk_upper_bound": 0.0},
        {"errors": good.answered // 50},
        {"delta": 1e-9},
        {"answered": 200, "errors": 0, "coverage": 0.1, "coverage_lower_bound": 0.05},
    ]
    for change in forged:
        with pytest.raises(ValidationError, match=r"prove|bound of the risk"):
            entry(replace(good, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"errors": -1},
        {"errors": 10**7},
        {"answered": 10**7},
        {"n": 2**62, "answered": 2**61},
        {"coverage": 0.99, "coverage_lower_bound": 0.98},
        {"coverage_lower_bound": 1.0},
        {"coverage": math.nan},
        {"delta": 0.0},
        {"alpha": 0.0},
        {"risk_upper_bound": None},
        {"risk_upper_bound": math.nan},
    ],
    ids=repr,
)
def test_impossible_numbers(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        entry(replace(issued(), **change))


def test_a_promise_by_another_method_needs_enough_units() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(6000)
    wrong = rng.random(6000) < 0.05 * (1.0 - confidence)
    groups = np.repeat(np.arange(1200), 5)
    betting = certify_group_means(
        confidence, wrong, [0.9, 0.6], RiskTarget(0.02, 0.05), Sampling(groups=groups)
    )
    assert betting.feasible
    entry(betting)
    with pytest.raises(ValidationError, match="even without an error"):
        entry(replace(betting, alpha=0.002, risk_upper_bound=0.002))


def test_a_promise_on_average_needs_enough_units() -> None:
    average = replace(issued(), kind="expectation", delta=None, risk_upper_bound=None, method="SCRC-T")
    entry(average)
    with pytest.raises(ValidationError, match=r"cannot promise an average of 0\.0001"):
        entry(replace(average, alpha=0.0001))


@given(n=st.integers(1, 10**6), rate=st.floats(1e-5, 0.5), share=st.floats(0.0, 1.0))
@settings(max_examples=200, deadline=None)
def test_the_binomial_tail_is_that_of_scipy(n: int, rate: float, share: float) -> None:
    errors = int(share * n * rate)
    expected = float(binom.cdf(errors, n, rate))
    assert _binomial_tail(errors, n, rate) == pytest.approx(expected, rel=1e-7, abs=1e-250)
