"""A policy whose parts contradict each other is refused; every certificate that is really issued passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from bundle.policy import CertificateEntry
from bundle.proof import binomial_tail
from calibration.certificate import LOOK_AHEAD_METHOD, Certificate, RiskTarget
from calibration.decision import OperatingPoint, StageRule
from calibration.exact.fallback import RiskSequence, certify_several
from calibration.exact.fixed_sequence import certify
from calibration.exact.group_betting import certify_group_means
from calibration.exact.intersection_union import certify_answers
from calibration.exact.strata import AnswerLabels
from calibration.groups import Sampling
from calibration.scrc import ScrcGrids, ScrcI, ScrcScores, ScrcT, ScrcTerms


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


def draw(seed: int, n: int = 4000, classes: int = 2) -> ScrcScores:
    """Scores of a good classifier whose confidence is its largest probability."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.standard_normal((n, classes)) + 6.0 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return ScrcScores(probabilities.max(axis=1), probabilities, labels)


def scrc_t(seed: int = 0, alpha: float = 0.02) -> Certificate:
    target, terms = RiskTarget(alpha, 0.05), ScrcTerms(acceptance=0.8)
    return ScrcT.fit(draw(seed), target, terms, answer_share=0.9).certificate(target)


def scrc_i(seed: int = 0, alpha: float = 0.1, **terms: Any) -> Certificate:
    target, grids = RiskTarget(alpha, 0.05), ScrcGrids([0.95, 0.8, 0.6], [0.5])
    return ScrcI.fit(draw(seed, 20000), grids, target, ScrcTerms(**terms)).certificate(target)


def betting(seed: int = 0, alpha: float = 0.02) -> Certificate:
    rng = np.random.default_rng(seed)
    confidence = rng.random(6000)
    wrong = rng.random(6000) < 0.05 * (1.0 - confidence)
    groups = np.repeat(np.arange(1200), 5)
    return certify_group_means(
        confidence, wrong, [0.9, 0.6, 0.3], RiskTarget(alpha, 0.05), Sampling(groups=groups)
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_certificate_of_the_other_methods_passes(seed: int) -> None:
    for alpha in (0.01, 0.03, 0.1, 0.2):
        entry(scrc_t(seed, alpha))
        entry(scrc_i(seed, alpha))
        entry(scrc_i(seed, alpha, class_conditional=True))
        entry(betting(seed, alpha))


def in_parts(seed: int = 0) -> Certificate:
    rng = np.random.default_rng(seed)
    confidence, label = rng.random(4000), rng.integers(0, 2, 4000)
    wrong = rng.random(4000) < 0.05 * (1.0 - confidence) ** 2
    answers = AnswerLabels(np.where(wrong, 1 - label, label), 2)
    return certify_answers(
        confidence, wrong, answers, np.linspace(0.9, 0.1, 20), RiskTarget(0.02, 0.05)
    ).certificate


@pytest.mark.parametrize("seed", range(5))
def test_certificates_in_parts_and_of_several_risks_pass(seed: int) -> None:
    entry(in_parts(seed))
    rng = np.random.default_rng(seed)
    confidence = rng.random(3000)
    wrong = rng.random(3000) < 0.2 * (1.0 - confidence) ** 3
    grid = np.unique(confidence)[::-1]
    ladder = certify_several(confidence, wrong, grid, RiskSequence((0.02, 0.01, 0.05)), RiskTarget())
    for certificate in ladder.certificates:
        entry(certificate)


@pytest.mark.parametrize(
    ("certificate", "change"),
    [
        (issued, {"coverage_lower_bound": 0.999 * issued().coverage}),
        (in_parts, {"errors": 0}),
        (scrc_t, {"errors": 400}),
        (scrc_t, {"alpha": 0.0001}),
        (scrc_t, {"coverage": 0.99}),
        (scrc_t, {"coverage_lower_bound": scrc_t().coverage - 0.01}),
        (scrc_i, {"alpha": 0.01, "risk_upper_bound": 0.01}),
        (scrc_i, {"errors": 5000}),
        (scrc_i, {"risk_upper_bound": 0.01}),
        (scrc_i, {"coverage_lower_bound": scrc_i().coverage - 1e-3}),
        (scrc_i, {"coverage": 0.5}),
        (scrc_i, {"delta": 1e-30}),
        (betting, {"alpha": 0.002, "risk_upper_bound": 0.002}),
        (betting, {"risk_upper_bound": 0.001}),
        (betting, {"coverage": 0.05, "coverage_lower_bound": 0.0}),
        (betting, {"coverage_lower_bound": betting().coverage - 0.01}),
        (betting, {"delta": 1e-12}),
        (betting, {"population": "image"}),
        (betting, {"answered": 0, "errors": 0}),
        (betting, {"method": "by a method that nobody knows"}),
    ],
)
def test_forged_numbers_of_every_method_are_refused(
    certificate: Callable[[], Certificate], change: dict[str, Any]
) -> None:
    good = certificate()
    assert good.feasible
    entry(good)
    with pytest.raises(ValidationError):
        entry(replace(good, **change))


def test_an_abstaining_certificate_answers_nothing() -> None:
    nothing = issued(100)
    assert not nothing.feasible
    entry(nothing)
    with pytest.raises(ValidationError, match=r"promises nothing, but states a coverage of 0\.9"):
        entry(replace(nothing, coverage=0.9))


def test_look_ahead_is_spared_one_error_and_no_more() -> None:
    good = issued()
    ahead = replace(good, method=LOOK_AHEAD_METHOD, risk_upper_bound=good.alpha)
    most = max(k for k in range(60) if binom.cdf(k, good.answered, good.alpha) <= 0.05)
    entry(replace(ahead, errors=most + 1))
    for method, errors in ((LOOK_AHEAD_METHOD, most + 2), (good.method, most + 1)):
        with pytest.raises(ValidationError, match="do not prove"):
            entry(replace(ahead, method=method, errors=errors))


@given(n=st.integers(1, 10**6), rate=st.floats(1e-5, 0.5), share=st.floats(0.0, 1.0))
@settings(max_examples=200, deadline=None)
def test_the_binomial_tail_is_that_of_scipy(n: int, rate: float, share: float) -> None:
    errors = int(share * n * rate)
    expected = float(binom.cdf(errors, n, rate))
    assert binomial_tail(errors, n, rate) == pytest.approx(expected, rel=1e-7, abs=1e-250)
