"""The default certificate: feasible and infeasible cases, and the reasons it gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import (
    Certificate,
    CertifiedOn,
    RiskTarget,
    Sampling,
    answers,
    certify,
    clopper_pearson_upper,
    plan_thresholds,
)
from calibration.exact.shortfall import Outlook
from calibration.exact.steps import count, steps_to_test

TARGET = RiskTarget()


def draw(n: int, seed: int = 0, accuracy_gap: float = 1.645) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(accuracy_gap, 1.0, n)
    return np.abs(x), x < 0


def grid_of(confidence: np.ndarray, points: int = 200) -> np.ndarray:
    return np.unique(np.quantile(confidence, np.linspace(0, 1, points)))[::-1]


def perfect(n: int, errors: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n distinct confidences, the least confident `errors` of them wrong."""
    confidence = np.linspace(1, 0, n)
    wrong = np.zeros(n, dtype=bool)
    wrong[n - errors :] = errors > 0
    return confidence, wrong


@pytest.mark.parametrize(
    ("n", "errors", "feasible"), [(298, 0, False), (299, 0, True), (472, 1, False), (473, 1, True)]
)
def test_the_fewest_answered_that_certify(n: int, errors: int, feasible: bool) -> None:
    certificate = certify(*perfect(n, errors), [0.0], TARGET)
    assert certificate.feasible is feasible
    if feasible:
        assert (certificate.answered, certificate.errors, certificate.threshold) == (n, errors, 0.0)
        assert certificate.risk_upper_bound == pytest.approx(float(clopper_pearson_upper(errors, n, 0.05)))


def test_the_walk_starts_at_the_rank_of_one_allowed_error() -> None:
    confidence, wrong = perfect(1000)
    wrong[[100, 473]] = True
    assert certify(confidence, wrong, None, TARGET).answered == 473
    wrong[101] = True
    assert not certify(confidence, wrong, None, TARGET).feasible


def test_an_error_just_before_a_further_milestone_does_not_end_the_walk() -> None:
    confidence, wrong = perfect(1000)
    wrong[[100, 620]] = True  # two errors at rank 621, allowed from 628 on
    assert certify(confidence, wrong, None, TARGET).answered == 1000
    wrong[[100, 620]], wrong[[100, 500]] = False, True  # two errors at rank 501: too many, too early
    assert certify(confidence, wrong, None, TARGET).answered == 500


def test_steps_leave_the_last_quarter_before_a_milestone_untested() -> None:
    tested = steps_to_test(np.arange(1001)[:, None], TARGET)
    ranks = np.flatnonzero(tested)
    assert ranks[0] == 473
    assert 473 + 116 in ranks
    assert 473 + 117 not in ranks
    assert 627 not in ranks
    assert 628 in ranks
    assert ranks[-1] == 1000


def test_the_certificate_counts_what_the_decision_rule_answers() -> None:
    confidence, wrong = draw(3000, 3)
    confidence = np.round(confidence, 1)
    certificate = certify(confidence, wrong, grid_of(confidence), TARGET)
    chosen = answers(confidence, certificate.threshold)
    assert certificate.feasible
    assert certificate.answered == chosen.sum()
    assert certificate.errors == (chosen & wrong).sum()
    assert certificate.coverage == chosen.mean()
    assert certificate.kind == "pac"
    assert certificate.population == "image"
    assert certificate.coverage_lower_bound < certificate.coverage
    assert Certificate.from_dict(certificate.to_dict()) == certificate


@given(seed=st.integers(0, 10_000), decimals=st.integers(1, 6))
@settings(max_examples=50)
def test_counting_by_sorting_equals_the_decision_rule(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(60), decimals)
    wrong = rng.random(60) < 0.3
    thresholds = np.unique(np.concatenate([confidence, rng.random(5)]))[::-1]
    answered, errors = count(confidence, wrong, thresholds)
    chosen = [answers(confidence, float(t)) for t in thresholds]
    assert answered.tolist() == [int(c.sum()) for c in chosen]
    assert errors.tolist() == [int((c & wrong).sum()) for c in chosen]


def test_risk_bound_is_alpha_where_the_walk_failed_and_tighter_where_it_did_not() -> None:
    failed = certify(*draw(3000, 1), None, TARGET)
    assert failed.coverage < 1.0
    assert failed.risk_upper_bound == TARGET.alpha
    clean = certify(*perfect(3000), None, TARGET)
    assert clean.risk_upper_bound == pytest.approx(1 - 0.05 ** (1 / 3000))


@given(seed=st.integers(0, 500), n=st.integers(600, 3000))
@settings(max_examples=40, deadline=None)
def test_more_generous_targets_never_certify_less(seed: int, n: int) -> None:
    """On one fixed grid: with more risk or less confidence allowed, every step that passed still passes."""
    confidence, wrong = draw(n, seed)
    grid = grid_of(confidence)[len(grid_of(confidence)) // 2 :]
    targets = [TARGET, replace(TARGET, alpha=0.02), replace(TARGET, delta=0.1)]
    base, more_risk, less_sure = (
        certify(confidence, wrong, grid, t, method="grid").coverage for t in targets
    )
    assert base <= more_risk
    assert base <= less_sure


@given(seed=st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_rank_start_grows_with_alpha_over_clear_steps(seed: int) -> None:
    confidence, wrong = draw(4000, seed, 2.2)
    coverages = [certify(confidence, wrong, None, replace(TARGET, alpha=a)).coverage for a in (0.01, 0.05)]
    assert coverages[0] <= coverages[1]


@given(seed=st.integers(0, 500), shuffle=st.integers(0, 500), n=st.integers(300, 2000))
@settings(max_examples=40, deadline=None)
def test_the_order_of_images_does_not_matter(seed: int, shuffle: int, n: int) -> None:
    confidence, wrong = draw(n, seed)
    grid = grid_of(confidence)
    order = np.random.default_rng(shuffle).permutation(n)
    assert certify(confidence, wrong, grid, TARGET) == certify(confidence[order], wrong[order], grid, TARGET)


@given(seed=st.integers(0, 500), power=st.sampled_from([0.5, 3.0]), scale=st.floats(0.1, 100.0))
@settings(max_examples=40, deadline=None)
def test_an_increasing_transform_of_the_score_changes_only_the_threshold(
    seed: int, power: float, scale: float
) -> None:
    selection, calibration = draw(800, seed), draw(1500, seed + 1)

    def transform(x: np.ndarray) -> np.ndarray:
        return scale * x**power - 3.0

    plain = certify(*calibration, plan_thresholds(*selection, 1500, TARGET), TARGET)
    moved_grid = plan_thresholds(transform(selection[0]), selection[1], 1500, TARGET)
    moved = certify(transform(calibration[0]), calibration[1], moved_grid, TARGET)
    assert replace(moved, threshold=plain.threshold) == plain


def test_a_grid_bounds_the_walk() -> None:
    confidence, wrong = perfect(2000)
    assert certify(confidence, wrong, [0.9, 0.5], TARGET).threshold == 0.5
    # The loosest point answers 400: enough for no error, not for one.
    assert certify(confidence, wrong, [0.9, 0.8], TARGET).threshold == 0.8


def test_a_coarse_grid_is_refined_by_ranks_within_it() -> None:
    confidence, wrong = perfect(2000)
    wrong[640:660] = True
    assert certify(confidence, wrong, [1.0, 0.0], TARGET).answered == 628
    assert not certify(confidence, wrong, [0.6, 0.0], TARGET).feasible


def test_saturated_scores_are_answered_together_or_not_at_all() -> None:
    confidence = np.ones(1000)
    wrong = np.zeros(1000, dtype=bool)
    wrong[:4] = True
    certificate = certify(confidence, wrong, None, TARGET)
    assert (certificate.answered, certificate.errors) == (1000, 4)
    wrong[:6] = True
    assert not certify(confidence, wrong, None, TARGET).feasible


@pytest.mark.parametrize("thresholds", [None, [0.9, 0.5, 0.1]])
@pytest.mark.parametrize("n", [0, 1, 50])
def test_too_few_images_give_an_infeasible_certificate(n: int, thresholds: list[float] | None) -> None:
    certificate = certify(np.linspace(0, 1, n), np.zeros(n), thresholds, TARGET)
    assert not certificate.feasible
    assert certificate.threshold is None
    assert (certificate.answered, certificate.coverage, certificate.coverage_lower_bound) == (0, 0.0, 0.0)
    assert "299" in certificate.needed
    reachable = n if thresholds is None else int((np.linspace(0, 1, n) >= 0.1).sum())
    assert f"at least {299 - reachable} more labelled images" in certificate.needed
    assert certificate.needed in certificate.sentence()


def test_all_wrong_and_all_right() -> None:
    confidence = np.linspace(0, 1, 1000)
    wrong = certify(confidence, np.ones(1000), None, TARGET)
    assert not wrong.feasible
    assert "better classifier" in wrong.needed
    assert "no risk up to 0.3 is likely" in wrong.needed
    right = certify(confidence, np.zeros(1000), None, TARGET)
    assert right.coverage == 1.0
    assert right.meets_coverage


def test_what_is_missing_is_said_in_labels_and_in_alpha_with_their_chances() -> None:
    confidence, wrong = perfect(600)
    wrong[[400, 460, 480, 520, 550, 560, 570, 590]] = True
    certificate = certify(confidence, wrong, None, TARGET)
    assert "2 of the 473 calibration images answered first are wrong" in certificate.needed
    assert "a fresh split of" in certificate.needed
    assert certificate.needed.count("would be certified in about") == 2
    outlook = Outlook.of(confidence, wrong)
    labels, alpha = outlook.labels(TARGET), outlook.risk(TARGET)
    assert f"a fresh split of {labels} images, {labels - 600} more labelled images" in certificate.needed
    assert f"alpha = {alpha:g}" in certificate.needed
    assert outlook.chance(labels, TARGET) >= 0.8
    assert outlook.chance(298, TARGET) == 0.0


@pytest.mark.parametrize(("n", "accuracy_gap"), [(400, 1.5), (700, 1.4)])
def test_hints_come_true_as_often_as_they_say(n: int, accuracy_gap: float) -> None:
    """The named number of labels and the named risk are certified on fresh splits by the same test."""
    held, expected = [], []
    for seed in range(60):
        calibration = draw(n, seed, accuracy_gap)
        if certify(*calibration, None, TARGET).feasible:
            continue
        outlook = Outlook.of(*calibration)
        labels, alpha = outlook.labels(TARGET), outlook.risk(TARGET)
        if labels is not None and labels < 20_000:
            expected.append(outlook.chance(labels, TARGET))
            held.append(certify(*draw(labels, seed + 1000, accuracy_gap), None, TARGET).feasible)
        if alpha is not None:
            at = replace(TARGET, alpha=alpha)
            expected.append(outlook.chance(n, at))
            held.append(certify(*draw(n, seed + 1000, accuracy_gap), None, at).feasible)
    assert len(held) > 30
    assert np.mean(held) > np.mean(expected) - 0.12


def test_coverage_short_of_the_target_does_not_empty_the_policy() -> None:
    confidence, wrong = perfect(1000)
    wrong[600:] = True
    certificate = certify(confidence, wrong, None, TARGET)
    assert certificate.feasible
    assert not certificate.meets_coverage
    assert certify(confidence, wrong, None, replace(TARGET, min_coverage=0.5)).meets_coverage


@pytest.mark.parametrize(
    ("confidence", "errors", "thresholds", "message"),
    [
        ([0.1, np.nan], [0, 1], [0.5], "1 NaN"),
        ([0.1, np.inf], [0, 1], [0.5], "1 infinite"),
        ([0.1, 0.2], [0], [0.5], "errors has shape"),
        ([[0.1, 0.2]], [0, 1], [0.5], "one-dimensional"),
        ([0.1, 0.2], [0, 2], [0.5], "other than 0 and 1"),
        ([0.1, 0.2], [0, np.nan], [0.5], "other than 0 and 1"),
        ([0.1, 0.2], [0, 1], [0.1, 0.5], "strict .high. to loose"),
        ([0.1, 0.2], [0, 1], [np.nan], "thresholds must be finite"),
        ([0.1, 0.2], [0, 1], [], "not empty"),
    ],
)
def test_malformed_input_is_refused(
    confidence: list[float], errors: list[float], thresholds: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        certify(confidence, errors, thresholds, TARGET)


def test_methods_are_named_and_checked() -> None:
    confidence, wrong = draw(3000)
    with pytest.raises(ValueError, match="rank start, grid, randomised, look-ahead"):
        certify(confidence, wrong, None, TARGET, method="magic")
    with pytest.raises(ValueError, match="planned beforehand"):
        certify(confidence, wrong, None, TARGET, method="grid")
    planned = plan_thresholds(*draw(3000, 9), 3000, TARGET, first_answered=500)
    strict = certify(confidence, wrong, planned, TARGET, method="grid")
    assert strict.threshold in planned
    assert strict.method == "exact fixed sequence, grid"
    once, again = (
        certify(confidence, wrong, planned, TARGET, method="randomised", sampling=Sampling(uniform=0.4))
        for _ in range(2)
    )
    assert once == again
    with pytest.raises(ValueError, match=r"Ledger\.uniform"):
        certify(confidence, wrong, planned, TARGET, method="randomised")


def test_provenance_is_written_into_the_certificate() -> None:
    certificate = certify(
        *perfect(500), None, TARGET, certified_on=CertifiedOn("abc", "onnxruntime-cpu/fp32")
    )
    assert (certificate.split_digest, certificate.engine) == ("abc", "onnxruntime-cpu/fp32")
    refused = certify(*perfect(5), None, TARGET, certified_on=CertifiedOn("abc", "x"))
    assert (refused.split_digest, refused.engine) == ("abc", "x")
