"""The cascade as one policy: its path, its certificate, and the answers of each stage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from fakes.worlds import CascadeWorld
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import (
    CascadeScores,
    Certificate,
    CertifiedOn,
    RiskTarget,
    Sampling,
    cascade_usage,
    certify,
    certify_cascade,
    certify_each_stage,
    fewest_answered,
    plan_cascade,
    plan_thresholds,
)
from calibration.decision import OperatingPoint, StageRule, decide
from calibration.planning.cascade import first_answered
from calibration.scores import StageOutputs

TARGET = RiskTarget()
WORLD = CascadeWorld()


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return WORLD.draw(np.random.default_rng(seed), n)


def planned(seed: int = 0, slack: float = 1.2, min_coverage: float = 0.0) -> np.ndarray:
    target = replace(TARGET, min_coverage=min_coverage)
    return plan_cascade(CascadeScores.read(*draw(2000, seed)), 1.0, 10.0, 2000, target, slack)


def test_a_path_begins_with_no_fewer_answers_than_its_target_needs_and_ends_with_all() -> None:
    selection = draw(2000)
    path = planned()
    assert path.shape[1] == 2
    assert path.dtype == np.float64
    scores = CascadeScores.read(*selection)
    answered = [sum(part.sum() for part in scores.outcome(pair)[:2]) for pair in path]
    assert (np.diff(answered) > 0).all()
    assert 2000 * first_answered(2000, 2000, TARGET) - 5 <= answered[0] < 1500
    assert answered[-1] == 2000


@pytest.mark.parametrize("alpha", [0.001, 0.003, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("delta", [0.01, 0.05, 0.2])
def test_a_path_starts_where_one_error_certifies_at_every_alpha_and_delta(alpha: float, delta: float) -> None:
    """Planned to answer at least so many in all but a few calibration splits, and hardly more."""
    fewest = int(fewest_answered(1, alpha, delta))
    n = 5 * fewest
    planned_count = n * first_answered(n, n, RiskTarget(alpha, delta))
    spread = math.sqrt(2 * fewest * (1 - fewest / n))
    assert fewest + 1.5 * spread <= planned_count <= fewest + 4 * spread + 1
    assert first_answered(n, fewest // 2, RiskTarget(alpha, delta)) == 1.0


@pytest.mark.parametrize("slack", [1.2, 1.5])
def test_slack_buys_compute_with_planned_errors(slack: float) -> None:
    scores = CascadeScores.read(*draw(20_000, 9))
    tight, loose = planned(slack=1.0), planned(slack=slack)
    # Counted from the end, where both answer all images: they begin where each is likeliest to pass.
    middle = -(min(len(tight), len(loose)) // 2)
    middle_tight, middle_loose = tight[middle], loose[middle]
    usage_tight = cascade_usage(scores, tuple(middle_tight), 1.0, 10.0)
    usage_loose = cascade_usage(scores, tuple(middle_loose), 1.0, 10.0)
    assert usage_loose.compute < 0.95 * usage_tight.compute
    assert usage_loose.coverage == pytest.approx(usage_tight.coverage, abs=0.02)


def test_the_slack_is_what_the_coverage_asked_for_leaves() -> None:
    """About .72 can be planned here: a lower target takes all the slack, a higher one none."""
    np.testing.assert_array_equal(planned(slack=1.5, min_coverage=0.4), planned(slack=1.5))
    np.testing.assert_array_equal(planned(slack=1.5, min_coverage=0.99), planned(slack=1.0))


def test_the_cheapest_pair_is_taken_if_almost_no_error_is_planned() -> None:
    """Both stages are all but perfect, so every image may be answered by A alone."""
    easy = CascadeScores.read(
        *CascadeWorld(accuracy_a=0.9999, accuracy_b=0.99999).draw(np.random.default_rng(0), 2000)
    )
    path = plan_cascade(easy, 1.0, 10.0, 2000, TARGET, 1.0)
    by_a, by_b, _ = easy.outcome(path[-1])
    assert by_a.mean() > 0.98
    assert (by_a | by_b).mean() > 0.99


def test_a_free_strong_stage_is_used_alone() -> None:
    _, wrong_a, b, wrong_b = draw(2000)
    scores = CascadeScores.read(np.random.default_rng(0).random(2000), wrong_a, b, wrong_b)
    path = plan_cascade(scores, 1.0, 10.0, 2000, TARGET, 1.0)
    assert np.isinf(path[:, 0]).mean() > 0.9


def test_the_certificate_holds_both_thresholds_and_counts_the_policy() -> None:
    scores = draw(4000, 5)
    path = planned()
    certificate = certify_cascade(
        CascadeScores.read(*scores), path, TARGET, certified_on=CertifiedOn("abc", "x")
    )
    assert certificate.feasible
    t_a, t_b = certificate.threshold
    assert [t_a, t_b] in path.tolist()
    by_a = scores[0] >= t_a
    by_b = ~by_a & (scores[2] >= t_b)
    assert certificate.answered == by_a.sum() + by_b.sum()
    assert certificate.errors == (by_a & scores[1]).sum() + (by_b & scores[3]).sum()
    assert certificate.split_digest == "abc"
    assert certificate.engine == "x"
    assert certificate.risk_upper_bound == TARGET.alpha
    assert 0.0 < certificate.coverage_lower_bound < certificate.coverage
    assert Certificate.from_dict(certificate.to_dict()) == certificate


def test_the_certified_policy_is_the_one_that_decides() -> None:
    rng = np.random.default_rng(3)
    n = 3000
    labels = rng.integers(0, 2, n)
    outputs = []
    for strength in (1.3, 1.7):
        x = (2 * labels - 1) * strength + rng.normal(size=n)
        outputs.append(StageOutputs(np.stack([-strength * x, strength * x], axis=1)))
    point = OperatingPoint((StageRule(), StageRule()))
    confidence = [rule.confidence(raw) for rule, raw in zip(point.stages, outputs, strict=True)]
    wrong = [raw.logits.argmax(axis=1) != labels for raw in outputs]
    scores = (confidence[0], wrong[0], confidence[1], wrong[1])
    half = n // 2
    path = plan_cascade(CascadeScores.read(*(s[:half] for s in scores)), 1.0, 10.0, half, TARGET)
    certificate = certify_cascade(CascadeScores.read(*(s[half:] for s in scores)), path, TARGET)
    rules = tuple(StageRule(threshold=None if math.isinf(t) else t) for t in certificate.threshold)
    decisions = decide([raw.take(np.arange(half, n)) for raw in outputs], OperatingPoint(rules))
    answered = [d for d in decisions if d.decision == "answer"]
    mistakes = sum(
        d.decision == "answer" and d.label != label for d, label in zip(decisions, labels[half:], strict=True)
    )
    assert (len(answered), mistakes) == (certificate.answered, certificate.errors)


def test_a_path_of_b_alone_is_the_certificate_of_b() -> None:
    scores = draw(3000, 2)
    grid = np.unique(np.quantile(scores[2], np.linspace(0, 1, 300)))[::-1]
    path = np.stack([np.full(len(grid), np.inf), grid], axis=1)
    alone = certify(scores[2], scores[3], grid, TARGET)
    cascade = certify_cascade(CascadeScores.read(*scores), path, TARGET)
    assert cascade.threshold[0] == math.inf
    # The single stage may also stop at a rank between two grid points.
    assert cascade.coverage == pytest.approx(alone.coverage, abs=0.01)


@given(seed=st.integers(0, 200), shuffle=st.integers(0, 200))
@settings(max_examples=15, deadline=None)
def test_the_order_of_images_does_not_matter(seed: int, shuffle: int) -> None:
    scores = draw(1500, seed)
    path = planned()
    order = np.random.default_rng(shuffle).permutation(1500)
    scores_in_order = CascadeScores.read(*scores)
    assert certify_cascade(scores_in_order, path, TARGET) == certify_cascade(
        scores_in_order.take(order), path, TARGET
    )


@given(seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_increasing_transforms_of_the_scores_change_only_the_thresholds(seed: int) -> None:
    selection, calibration = draw(1000, seed), draw(1500, seed + 1)

    def moved(scores: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return np.exp(scores[0]), scores[1], scores[2] ** 3, scores[3]

    plain, other = (
        certify_cascade(
            CascadeScores.read(*of_calibration),
            plan_cascade(CascadeScores.read(*of_selection), 1, 10, 1500, TARGET),
            TARGET,
        )
        for of_selection, of_calibration in (
            (selection, calibration),
            (moved(selection), moved(calibration)),
        )
    )
    assert replace(other, threshold=plain.threshold) == plain


def test_groups_are_counted_once() -> None:
    scores = CascadeScores.read(*draw(4000, 1))
    groups = np.repeat(np.arange(1000), 4)
    certificate = certify_cascade(scores, planned(), TARGET, Sampling(groups, seed=2))
    assert (certificate.n, certificate.images, certificate.seed) == (1000, 4000, 2)
    assert certificate.population == "random group, random frame"
    of_images = certify_cascade(scores, planned(), TARGET, Sampling(groups, "image", 2, 4))
    assert of_images.population == "image, groups capped at 4"


@pytest.mark.parametrize("n", [0, 1, 250])
def test_too_few_images_are_infeasible(n: int) -> None:
    certificate = certify_cascade(CascadeScores.read(*draw(n)), planned(), TARGET)
    assert not certificate.feasible
    assert "299" in certificate.needed


def test_a_hopeless_cascade_is_infeasible_and_says_so() -> None:
    a, _, b, _ = draw(2000)
    everything = np.ones(2000, dtype=bool)
    scores = CascadeScores.read(a, everything, b, everything)
    certificate = certify_cascade(scores, planned(), TARGET)
    assert not certificate.feasible
    assert "better classifier" in certificate.needed
    by_stage = certify_each_stage(scores, None, None, TARGET)
    assert not by_stage.feasible
    assert "stage A:" in by_stage.needed
    assert "stage B:" in by_stage.needed


def test_coverage_is_bounded_on_paths_that_are_not_nested_too() -> None:
    scores = CascadeScores.read(*draw(3000, 4))
    nested = np.stack([np.full(50, np.inf), np.linspace(2.5, 0.5, 50)], axis=1)
    crossing = nested.copy()
    crossing[::2, 0] = 4.5
    bounds = [certify_cascade(scores, path, TARGET) for path in (nested, crossing)]
    assert all(0.0 < c.coverage_lower_bound < c.coverage for c in bounds)
    assert (
        bounds[1].coverage - bounds[1].coverage_lower_bound
        > bounds[0].coverage - bounds[0].coverage_lower_bound
    )


def test_each_stage_alone_keeps_its_own_promise_at_half_of_delta() -> None:
    scores, selection = draw(4000, 6), draw(2000, 7)
    grids = [plan_thresholds(selection[i], selection[i + 1], 4000, TARGET) for i in (0, 2)]
    certificate = certify_each_stage(CascadeScores.read(*scores), *grids, TARGET)
    t_a, t_b = certificate.threshold
    by_a = scores[0] >= t_a
    by_b = ~by_a & (scores[2] >= t_b)
    half = replace(TARGET, delta=0.025)
    assert certify(scores[0], scores[1], grids[0], half).answered == by_a.sum()
    assert certify(scores[2][~by_a], scores[3][~by_a], grids[1], half).answered == by_b.sum()
    assert certificate.answered == by_a.sum() + by_b.sum()
    assert 0.0 < certificate.coverage_lower_bound < certificate.coverage


def test_usage_adds_up() -> None:
    a, wrong_a, b, wrong_b = draw(5000)
    scores = CascadeScores.read(a, wrong_a, b, wrong_b)
    usage = cascade_usage(scores, (2.0, 1.5), 1.0, 10.0)
    by_a = a >= 2.0
    assert usage.answered_by_a == by_a.mean()
    assert usage.coverage == pytest.approx((by_a | (b >= 1.5)).mean())
    assert usage.compute == pytest.approx(1.0 + 10.0 * (1 - by_a.mean()))
    assert usage.risk_a == wrong_a[by_a].mean()
    alone = cascade_usage(scores, (math.inf, 1.5), 1.0, 10.0)
    assert alone.compute == 10.0
    assert math.isnan(alone.risk_a)
    with pytest.raises(ValueError, match="no images"):
        cascade_usage(CascadeScores.read([], [], [], []), (1.0, 1.0), 1.0, 10.0)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([[1.0]], r"\(T, 2\)"),
        (np.zeros((0, 2)), r"\(T, 2\)"),
        ([[np.nan, 1.0]], "finite thresholds"),
        ([[-np.inf, 1.0]], "finite thresholds"),
    ],
)
def test_malformed_paths_are_refused(path: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        certify_cascade(CascadeScores.read(*draw(10)), path, TARGET)


def test_malformed_scores_and_plans_are_refused() -> None:
    a, wrong_a, b, wrong_b = draw(10)
    scores = CascadeScores.read(a, wrong_a, b, wrong_b)
    with pytest.raises(ValueError, match="confidence_b has length 9"):
        CascadeScores.read(a, wrong_a, b[:9], wrong_b[:9])
    with pytest.raises(ValueError, match="confidence_a has 1 NaN"):
        CascadeScores.read(np.where(np.arange(10) == 0, np.nan, a), wrong_a, b, wrong_b)
    with pytest.raises(ValueError, match=r"slack is 0\.9"):
        plan_cascade(scores, 1, 10, 100, TARGET, 0.9)
    with pytest.raises(ValueError, match="costs are"):
        plan_cascade(scores, -1, 10, 100, TARGET)
    with pytest.raises(ValueError, match="selection split is empty"):
        plan_cascade(CascadeScores.read([], [], [], []), 1, 10, 100, TARGET)
