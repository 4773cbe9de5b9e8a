"""Acceptance tests of SCRC beside the exact certificate, one per requirement."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from calibration.bounds import clopper_pearson_lower, clopper_pearson_upper
from calibration.certificate import RiskTarget
from calibration.decision import OperatingPoint, StageRule, answers, decide, decide_stage
from calibration.prediction_sets import set_report
from calibration.scores import ScoreTable, StageOutputs
from calibration.scrc import (
    ScrcGrids,
    ScrcI,
    ScrcScores,
    ScrcT,
    ScrcTerms,
    plan_scrc_t,
    selector_and_classifier,
)

FULL = os.environ.get("DEMUR_SLOW") == "1"
RULE = StageRule(score="gate", temperature=1.4, gate_slope=1.2, gate_intercept=0.3)
TARGET = RiskTarget(alpha=0.02, delta=0.05, min_coverage=0.7)


def images(n, generator):
    """Two classes, and a gate that predicts the difficulty of an image better than the classifier."""
    labels = generator.integers(0, 2, n)
    difficulty = generator.exponential(1.0, n)
    evidence = (2.0 * labels - 1.0) + generator.normal(0, 1, n) * difficulty * 0.9
    log_odds = 4.0 * evidence / (0.5 + difficulty)
    logits = np.stack([-log_odds / 2, log_odds / 2], axis=1)
    gate = 3.5 - 2.0 * difficulty + np.abs(evidence) + generator.normal(0, 0.3, n)
    return ScoreTable(StageOutputs(logits, gate), labels)


def inputs(table):
    return ScrcScores(*selector_and_classifier(table.outputs, RULE), table.labels)


@pytest.fixture(scope="module")
def fitted():
    generator = np.random.default_rng(21)
    select, calibration = images(2000, generator), images(6000, generator)
    plan = plan_scrc_t(inputs(select), 6000, TARGET)
    return calibration, ScrcT.fit(
        inputs(calibration), TARGET, ScrcTerms(acceptance=plan.acceptance), answer_share=plan.answer_share
    )


def test_thresholds_are_right(fitted):
    """Both thresholds from their definitions, recomputed with sorted lists."""
    calibration, policy = fitted
    scores = inputs(calibration)
    g, f = scores.confidence, scores.probabilities
    n = len(g)
    rejected = math.floor((1 - policy.acceptance) * (n + 1))
    assert policy.threshold == sorted(g)[rejected - 1]
    accepted = g > policy.threshold
    assert policy.set_threshold < 0.5  # so that sets of two labels occur
    assert policy.accepted == accepted.sum() == n - rejected
    wrong = f.argmax(axis=1) != calibration.labels
    budget = math.floor((accepted.sum() + 1) * TARGET.alpha * policy.answer_share) - 1
    beyond = sorted(f.min(axis=1)[accepted & wrong])  # an answer is given once the other label has left
    assert policy.set_threshold == pytest.approx(min(beyond[budget], 0.5) if budget < len(beyond) else 0.5)
    assert np.count_nonzero(accepted & wrong & (f.min(axis=1) < policy.set_threshold)) <= budget


@pytest.mark.slow
def test_set_coverage_is_as_promised():
    """Of the accepted images, 1 - alpha have their label in the set, on average over calibration draws."""
    draws = 2000 if FULL else 200
    generator = np.random.default_rng(22)
    target = RiskTarget(0.05, 0.05, 0.7)
    inside = np.zeros((draws, 2))
    for draw in range(draws):
        calibration, new = images(300, generator), images(500, generator)
        policy = ScrcT.fit(inputs(calibration), target, ScrcTerms("sets"))
        outcome = decide_stage(new.outputs, policy.stage_rule(RULE))
        accepted = answers(outcome.confidence, policy.threshold)
        inside[draw] = accepted.mean(), (accepted & outcome.sets[np.arange(500), new.labels]).mean()
    accepted, covered = inside.mean(axis=0)
    excess = inside[:, 1] - 0.95 * inside[:, 0]
    print(
        f"\nset coverage {covered / accepted:.4f} of accepted (0.95 promised), {accepted:.3f} accepted (0.7)"
    )
    assert excess.mean() > -3 * excess.std() / math.sqrt(draws)
    assert accepted > 0.7 - 3 * inside[:, 0].std() / math.sqrt(draws)


def test_ambiguous_is_handled(fitted):
    """Sets of two labels and rejected images abstain as ambiguous and count nowhere among the answers."""
    _, policy = fitted
    strict = ScrcT.from_dict({**policy.to_dict(), "set_threshold": 0.2})
    new = images(5000, np.random.default_rng(23))
    decisions = decide([new.outputs], OperatingPoint((strict.stage_rule(RULE),)))
    outcome = decide_stage(new.outputs, strict.stage_rule(RULE))
    accepted = answers(outcome.confidence, strict.threshold)
    both = accepted & outcome.sets.all(axis=1)
    assert both.sum() > 20
    for row in np.flatnonzero(both | ~accepted):
        assert decisions[row].decision == "abstain"
        assert decisions[row].reason == "ambiguous"
        assert decisions[row].label is None
    report = set_report(outcome.sets, accepted, new.labels)
    answered = [row for row, d in enumerate(decisions) if d.decision == "answer"]
    assert report.answered == len(answered) == accepted.sum() - both.sum()
    errors = sum(decisions[row].label != new.labels[row] for row in answered)
    assert report.answer_risk == pytest.approx(errors / len(answered))
    assert report.answer_risk > report.set_risk


def test_exit_error_by_its_upper_bound_on_one_draw():
    """SCRC-I promises each draw: on new images the exact upper bound of the exit error is below alpha."""
    generator = np.random.default_rng(24)
    grid = np.quantile(inputs(images(2000, generator)).confidence, np.linspace(0.95, 0.05, 10))
    policy = ScrcI.fit(inputs(images(150_000, generator)), ScrcGrids(grid, [0.5]), TARGET)
    new = images(100_000, generator)
    outcome = decide_stage(new.outputs, policy.stage_rule(RULE))
    errors = int((outcome.answered & (outcome.labels != new.labels)).sum())
    upper = float(clopper_pearson_upper(errors, int(outcome.answered.sum()), 0.05))
    print(
        f"\nSCRC-I: exit error below {upper:.4f}, proven {policy.risk_upper_bound:.4f}, alpha {TARGET.alpha}"
    )
    assert upper <= policy.risk_upper_bound <= TARGET.alpha


@pytest.mark.slow
def test_exit_error_by_its_upper_bound_on_average():
    """SCRC-T promises the average: over draws, the upper bound of the exit error is below alpha."""
    draws = 1000 if FULL else 80
    generator = np.random.default_rng(27)
    new = images(50_000, generator)
    rates = []
    for _ in range(draws):
        plan = plan_scrc_t(inputs(images(1000, generator)), 3000, TARGET)
        policy = ScrcT.fit(
            inputs(images(3000, generator)),
            TARGET,
            ScrcTerms(acceptance=plan.acceptance),
            answer_share=plan.answer_share,
        )
        outcome = decide_stage(new.outputs, policy.stage_rule(RULE))
        rates.append((outcome.answered.mean(), (outcome.answered & (outcome.labels != new.labels)).mean()))
    answered, wrong = np.array(rates).T
    excess = wrong - TARGET.alpha * answered
    upper = excess.mean() + 1.645 * excess.std() / math.sqrt(draws)
    above = np.mean(wrong > TARGET.alpha * answered)
    print(
        f"\nSCRC-T: exit error {wrong.mean() / answered.mean():.4f} on average, alpha {TARGET.alpha}; "
        f"above it in {above:.2f} of {draws} draws; answered {answered.mean():.3f}"
    )
    assert upper <= 0.0
    assert above > 0.05  # a promise about the average, never about a single draw


def test_coverage_by_its_lower_bound(fitted):
    """The certificate's bound lies below the true coverage, and the coverage above its target."""
    _, policy = fitted
    new = images(100_000, np.random.default_rng(25))
    outcome = decide_stage(new.outputs, policy.stage_rule(RULE))
    lower = float(clopper_pearson_lower(int(outcome.answered.sum()), len(new), 0.05))
    certificate = policy.certificate(TARGET)
    print(f"\ncoverage at least {lower:.4f}; the certificate says {certificate.coverage_lower_bound:.4f}")
    assert certificate.coverage_lower_bound <= lower
    assert certificate.meets_coverage == (certificate.coverage >= 0.7)
    assert lower >= 0.68


def test_no_regression_against_the_gate_policy(fitted):
    """At the gate policy's own threshold, sets remove wrong answers and few right ones."""
    _, policy = fitted
    new = images(100_000, np.random.default_rng(26))
    rule = policy.stage_rule(RULE)
    scrc = decide_stage(new.outputs, rule)
    gate = decide_stage(new.outputs, StageRule(**{**vars_of(RULE), "threshold": policy.threshold}))
    wrong = gate.labels != new.labels
    assert not np.any(scrc.answered & ~gate.answered)
    scrc_error, gate_error = wrong[scrc.answered].mean(), wrong[gate.answered].mean()
    # A gate policy as good as SCRC: the stricter threshold with as many answers.
    stricter = np.sort(gate.confidence)[::-1][scrc.answered.sum() - 1]
    same_coverage = gate.confidence >= stricter
    print(
        f"\nexit error: SCRC {scrc_error:.4f} at coverage {scrc.answered.mean():.3f}; gate at the same "
        f"threshold {gate_error:.4f} at {gate.answered.mean():.3f}; gate at the same coverage "
        f"{wrong[same_coverage].mean():.4f}"
    )
    assert scrc_error <= gate_error
    standard_error = math.sqrt(gate_error / same_coverage.sum())
    assert scrc_error <= wrong[same_coverage].mean() + 3 * standard_error


def vars_of(rule):
    return {name: getattr(rule, name) for name in rule.__dataclass_fields__}
