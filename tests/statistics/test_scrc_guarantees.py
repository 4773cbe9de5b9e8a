"""SCRC's stated guarantees in simulation, and what the printed rules do instead.

Each world is a fixed population of 10,000 images. Calibration splits are drawn from it with replacement, so
the true risk of every policy is known exactly. Tables are printed with `-s`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import pytest

from calibration.certificate import RiskTarget
from calibration.prediction_sets import critical_for_set
from calibration.scores import softmax
from calibration.scrc import ScrcGrids, ScrcI, ScrcScores, ScrcT, ScrcTerms, plan_scrc_t

FULL = os.environ.get("DEMUR_SLOW") == "1"
DELTA, ACCEPTANCE = 0.05, 0.7

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Population:
    """Images with a known label; `draw` gives a calibration split, `truth` the exact risk of a policy."""

    confidence: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, classes: int, signal: float, seed: int, size: int = 10_000) -> Population:
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, classes, size)
        logits = generator.normal(0, 1, (size, classes))
        logits[np.arange(size), labels] += 1.5 * signal * generator.random(size) ** 0.5
        # An overconfident model: neither guarantee needs calibrated probabilities.
        top_two = np.partition(logits, -2, axis=1)[:, -2:]
        return cls(top_two[:, 1] - top_two[:, 0], softmax(1.7 * logits), labels)

    def draw(self, n, generator):
        rows = generator.integers(0, len(self.labels), n)
        return self.confidence[rows], self.probabilities[rows], self.labels[rows]

    def truth(self, policy):
        """Shares accepted; accepted with the label missed; answered; answered wrongly; and mean set size."""
        accepted = self.confidence >= policy.threshold
        cut = np.full(len(accepted), policy.set_threshold)
        at_boundary = getattr(policy, "set_threshold_at_boundary", None)
        if at_boundary is not None:
            cut[self.confidence == policy.threshold] = at_boundary
        sets = self.probabilities >= cut[:, None]
        size = sets.sum(axis=1)
        missed = ~sets[np.arange(len(size)), self.labels]
        answered = accepted & (size == 1)
        return (
            accepted.mean(),
            (accepted & missed).mean(),
            answered.mean(),
            (answered & missed).mean(),
            size[accepted].mean(),
        )


@dataclass(frozen=True)
class Thresholds:
    """What a printed rule of the paper ends in; it lives here only."""

    threshold: float
    set_threshold: float


def ratio_excess(numerator, denominator, alpha):
    """Mean of numerator - alpha * denominator over draws, in standard errors; above 0 breaks the promise."""
    excess = np.asarray(numerator) - alpha * np.asarray(denominator)
    return excess.mean() / max(excess.std(ddof=1) / math.sqrt(len(excess)), 1e-15)


@pytest.fixture(scope="module")
def ten_classes():
    return Population.of(classes=10, signal=2.5, seed=1)


@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_scrc_t_keeps_its_promise_about_sets_where_the_printed_rounding_breaks_it(ten_classes, alpha):
    draws, n = (20_000 if FULL else 2500), 100
    generator = np.random.default_rng(2)
    target = RiskTarget(alpha, DELTA, ACCEPTANCE)
    corrected, printed = [], []
    for _ in range(draws):
        g, f, y = ten_classes.draw(n, generator)
        policy = ScrcT.fit(ScrcScores(g, f, y), target, ScrcTerms("sets"), set_threshold_limit=1.0)
        corrected.append(ten_classes.truth(policy))
        accepted = g > policy.threshold
        # As printed: sum of losses <= ceil((m + 1) alpha) - 1.
        allowed = math.ceil((accepted.sum() + 1) * alpha) - 1
        critical = np.sort(critical_for_set(f[accepted], y[accepted]))
        printed.append(ten_classes.truth(Thresholds(policy.threshold, float(critical[allowed]))))
    print(f"\nSCRC-T, 10 classes, n = {n}, target coverage {ACCEPTANCE}, alpha {alpha}, {draws} draws")
    for name, rows in (("corrected", corrected), ("as printed", printed)):
        coverage, missed, *_, size = np.mean(rows, axis=0)
        print(f"  {name:11s} coverage {coverage:.4f}  set risk {missed / coverage:.4f}  set size {size:.3f}")
    accepted, missed = np.array(corrected).T[:2]
    assert ratio_excess(missed, accepted, alpha) < 3
    assert (accepted - ACCEPTANCE).mean() > -3 * accepted.std() / math.sqrt(draws)
    assert accepted.mean() < ACCEPTANCE + 0.02
    accepted, missed = np.array(printed).T[:2]
    assert ratio_excess(missed, accepted, alpha) > 5


@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_scrc_t_keeps_its_promise_about_answers(ten_classes, alpha):
    draws, n = (4000 if FULL else 500), 1000
    generator = np.random.default_rng(3)
    target = RiskTarget(alpha, DELTA, ACCEPTANCE)
    rows, bounds = [], []
    for _ in range(draws):
        share = plan_scrc_t(
            ScrcScores(*ten_classes.draw(1000, generator)), n, target, acceptance=ACCEPTANCE
        ).answer_share
        data = ten_classes.draw(n, generator)
        policy = ScrcT.fit(ScrcScores(*data), target, ScrcTerms(acceptance=ACCEPTANCE), answer_share=share)
        if policy.feasible:
            rows.append(ten_classes.truth(policy))
            bounds.append(policy.coverage_lower_bound)
    accepted, _, answered, wrong, size = np.array(rows).T
    exit_error = wrong.mean() / answered.mean()
    print(f"\nSCRC-T answers, 10 classes, n = {n}, alpha {alpha}, {draws} draws")
    print(
        f"  feasible {len(rows) / draws:.3f}  accepted {accepted.mean():.4f}  "
        f"answered {answered.mean():.4f}  exit error {exit_error:.4f}  set size {size.mean():.3f}"
    )
    assert len(rows) > 0.8 * draws
    assert ratio_excess(wrong, answered, alpha) < 3
    assert np.mean(answered < bounds) <= DELTA


@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_scrc_i_keeps_its_promise_about_sets_where_version_1_breaks_it(ten_classes, alpha):
    draws, n = (2000 if FULL else 300), 10_000
    generator = np.random.default_rng(4)
    target = RiskTarget(alpha, DELTA, ACCEPTANCE)
    grid = np.quantile(ten_classes.draw(2000, generator)[0], np.linspace(0.95, 0.05, 19))
    sets = np.linspace(0.5, 0.01, 50)
    corrected, version_1 = [], []
    for _ in range(draws):
        g, f, y = ten_classes.draw(n, generator)
        policy = ScrcI.fit(ScrcScores(g, f, y), ScrcGrids(grid, sets), target, ScrcTerms("sets", ACCEPTANCE))
        assert policy.feasible
        corrected.append(ten_classes.truth(policy))
        # Version 1: sum of losses <= ceil((n + 1) alpha xi_LCB) - 1, without the margin of the numerator.
        accepted = g >= policy.threshold
        least = accepted.mean() - math.sqrt(math.log(4 / DELTA) / (2 * n))
        critical = np.sort(critical_for_set(f[accepted], y[accepted]))
        allowed = math.ceil((n + 1) * alpha * least) - 1
        version_1.append(ten_classes.truth(Thresholds(policy.threshold, float(critical[allowed]))))
    print(f"\nSCRC-I, 10 classes, n = {n}, target coverage {ACCEPTANCE}, alpha {alpha}, {draws} draws")
    violations = {}
    for name, rows in (("version 2", corrected), ("version 1", version_1)):
        accepted, missed, _, _, size = np.array(rows).T
        violations[name] = float(np.mean(missed / accepted > alpha))
        print(
            f"  {name} coverage {accepted.mean():.4f}  set risk {np.mean(missed / accepted):.4f}  "
            f"set size {size.mean():.3f}  draws above alpha {violations[name]:.3f}"
        )
    assert violations["version 2"] <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / draws)
    assert violations["version 1"] > 0.15


@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_scrc_i_keeps_its_promise_about_answers(ten_classes, alpha):
    draws, n = (500 if FULL else 50), round(100 / alpha**2)
    generator = np.random.default_rng(5)
    target = RiskTarget(alpha, DELTA, ACCEPTANCE)
    grid = np.quantile(ten_classes.draw(2000, generator)[0], np.linspace(0.95, 0.05, 19))
    sets = np.linspace(0.5, 0.05, 10)
    rows, bounds, risks = [], [], []
    for _ in range(draws):
        policy = ScrcI.fit(ScrcScores(*ten_classes.draw(n, generator)), ScrcGrids(grid, sets), target)
        assert policy.feasible
        rows.append(ten_classes.truth(policy))
        bounds.append(policy.coverage_lower_bound)
        risks.append(policy.risk_upper_bound)
    _, _, answered, wrong, size = np.array(rows).T
    risk = wrong / answered
    above, below = np.mean(risk > alpha), np.mean(answered < bounds)
    print(f"\nSCRC-I answers, 10 classes, n = {n}, alpha {alpha}, {draws} draws")
    print(
        f"  answered {answered.mean():.4f}  exit error {risk.mean():.4f}  set size {size.mean():.3f}\n"
        f"  draws above alpha {above:.3f}  below its coverage bound {below:.3f}"
    )
    tolerance = 3 * math.sqrt(DELTA * (1 - DELTA) / draws)
    # One event: both bounds hold together.
    assert np.mean((risk > risks) | (answered < bounds)) <= DELTA + tolerance


def test_sets_of_two_labels_dilute_the_error_of_the_answers():
    """A set risk of 1 % is more than 1 % among the answers; the promise about answers is what it says."""
    population = Population.of(classes=2, signal=2.2, seed=6)
    forced_error = np.mean(population.probabilities.argmax(axis=1) != population.labels)
    draws, n = (3000 if FULL else 300), 2000
    generator = np.random.default_rng(7)
    target = RiskTarget(0.01, DELTA, 0.9)
    of_sets, of_answers = [], []
    for _ in range(draws):
        data = ScrcScores(*population.draw(n, generator))
        of_sets.append(population.truth(ScrcT.fit(data, target, ScrcTerms("sets", 0.99))))
        share = plan_scrc_t(
            ScrcScores(*population.draw(2000, generator)), n, target, acceptance=0.99
        ).answer_share
        policy = ScrcT.fit(data, target, ScrcTerms(acceptance=0.99), answer_share=share)
        if policy.feasible:
            of_answers.append(population.truth(policy))
    print(f"\nDilution, 2 classes, forced error {forced_error:.3f}, alpha 0.01, {draws} draws")
    for name, rows in (("promise about sets", of_sets), ("promise about answers", of_answers)):
        accepted, missed, answered, wrong, _ = np.mean(rows, axis=0)
        print(
            f"  {name:22s} set risk {missed / accepted:.4f}  exit error {wrong / answered:.4f}  "
            f"answered {answered:.3f}"
        )
    accepted, missed, answered, wrong, _ = np.array(of_sets).T
    assert ratio_excess(missed, accepted, 0.01) < 3
    assert ratio_excess(wrong, answered, 0.01) > 5
    _, _, answered, wrong, _ = np.array(of_answers).T
    assert len(of_answers) > 0.8 * draws
    assert ratio_excess(wrong, answered, 0.01) < 3


def test_scrc_t_holds_on_tied_and_saturated_scores():
    population = Population.of(classes=2, signal=2.5, seed=8)
    coarse = Population(
        np.minimum(np.round(population.confidence, 0), 3.0),
        np.round(population.probabilities, 1),
        population.labels,
    )
    draws, n = (10_000 if FULL else 1000), 200
    generator = np.random.default_rng(9)
    target = RiskTarget(0.1, DELTA, ACCEPTANCE)
    rows = np.array(
        [
            coarse.truth(ScrcT.fit(ScrcScores(*coarse.draw(n, generator)), target, ScrcTerms("sets")))
            for _ in range(draws)
        ]
    )
    accepted, missed = rows.T[:2]
    print(
        f"\nSCRC-T, four distinct confidences, alpha 0.1: coverage {accepted.mean():.3f}, "
        f"set risk {missed.mean() / accepted.mean():.4f} ({draws} draws)"
    )
    assert ratio_excess(missed, accepted, 0.1) < 3
    assert accepted.mean() > ACCEPTANCE
