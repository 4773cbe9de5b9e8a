"""The exact test of paths: counts, certificates of every promise, and golden values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes.worlds import CascadeWorld, GroupedWorld, gaussian
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import (
    AnswerLabels,
    CascadePath,
    CascadeScores,
    Certificate,
    CertifiedOn,
    Parts,
    PathTest,
    RiskTarget,
    Sampling,
    Slices,
    StagePath,
    StageScores,
    certify,
    certify_answers,
    certify_cascade,
    certify_group_means,
    certify_path,
    certify_path_by_betting,
    certify_slices,
    plan_thresholds,
)
from calibration.bounds import most_errors
from calibration.exact.paths import PolicyPath
from calibration.exact.steps import StepCounts

TARGET = RiskTarget()
TEST = PathTest("m")
EVERY_STEP = PathTest("m", start="path")
WORLD = CascadeWorld(accuracy_a=0.95, accuracy_b=0.97)


def cascade(n: int, seed: int, share_of_1: float = 0.5) -> CascadePath:
    """A cascade on n images of which a share is of class 1, and a path that trades A for B and back."""
    rng = np.random.default_rng(seed)
    a, wrong_a, b, wrong_b = WORLD.draw(rng, n)
    labels = (rng.random(n) < share_of_1).astype(int)
    scores = CascadeScores(
        StageScores.read(a, wrong_a, np.where(wrong_a, 1 - labels, labels)),
        StageScores.read(b, wrong_b, np.where(wrong_b, 1 - labels, labels)),
    )
    loosening = np.linspace(2.6, 0.2, 60)
    crossing = loosening + 0.4 * (np.arange(60) % 3 == 0)
    return CascadePath(scores, np.stack([crossing, loosening], axis=1))


def one_stage(n: int, seed: int, decimals: int = 8) -> StagePath:
    rng = np.random.default_rng(seed)
    confidence, wrong = gaussian(0.97).draw(rng, n)
    confidence = np.round(confidence, decimals)
    grid = np.unique(np.append(confidence[:40], 0.0))[::-1]
    return StagePath.read(confidence, wrong, grid, rng.integers(0, 2, n))


def three_parts(n: int, seed: int) -> list[Parts]:
    column = np.random.default_rng(seed).choice(["day", "dusk", "night"], n)
    return [
        Parts.whole(n),
        Parts.of_answers(["no", "yes"]),
        Parts.of_slices(Slices(column, ["day", "night"], "light"), n),
    ]


def tallied(path: PolicyPath, parts: Parts) -> StepCounts:
    """The counts by the decision rule, an image at a time."""
    counts = StepCounts.empty(path.steps, len(parts))
    for step in range(path.steps):
        outcome = path.outcome(step)
        for answered, wrong, part in zip(
            outcome.answered, outcome.wrong, parts.of(outcome.answer), strict=True
        ):
            if answered and part >= 0:
                counts.answered[step, part] += 1
                counts.errors[step, part] += wrong
    return counts


@given(seed=st.integers(0, 1000), decimals=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_paths_count_what_the_decision_rule_answers(seed: int, decimals: int) -> None:
    n = 80
    paths: list[PolicyPath] = [one_stage(n, seed, decimals), cascade(n, seed)]
    for path in paths:
        for parts in three_parts(n, seed):
            counted, expected = path.count(parts), tallied(path, parts)
            np.testing.assert_array_equal(counted.answered, expected.answered)
            np.testing.assert_array_equal(counted.errors, expected.errors)


def test_one_stage_is_a_cascade_whose_other_stage_answers_nothing() -> None:
    path = one_stage(3000, 4)
    assert path.thresholds is not None
    idle = np.full(path.steps, np.inf)
    pairs = CascadePath(CascadeScores(path.stage, path.stage), np.stack([idle, path.thresholds], axis=1))
    assert pairs.nested
    for parts in three_parts(3000, 4):
        alone = certify_path(path, TARGET, parts, test=EVERY_STEP)
        paired = certify_path(pairs, TARGET, parts, test=EVERY_STEP)
        if alone.feasible:
            assert paired.threshold == (np.inf, alone.threshold)
        # The hints of an infeasible one rest on ranks, of which a path of pairs has fewer.
        assert replace(paired, threshold=alone.threshold, needed=alone.needed) == alone


def test_a_cascade_is_promised_for_each_answer_and_each_slice() -> None:
    path = cascade(8000, 1, share_of_1=0.3)
    whole = certify_path(path, TARGET, test=TEST)
    for parts in three_parts(8000, 1)[1:]:
        certificate = certify_path(path, TARGET, parts, test=TEST, certified_on=CertifiedOn("d", "e"))
        assert certificate.feasible
        assert certificate.each == parts.each
        assert certificate.method == f"m{parts.title}"
        step = path.pairs.tolist().index(list(certificate.threshold))
        outcome = path.outcome(step)
        belongs = parts.of(outcome.answer)
        for code, part in enumerate(certificate.parts):
            inside = belongs == code
            assert part.n == inside.sum()
            assert part.answered == (outcome.answered & inside).sum()
            assert part.errors == (outcome.wrong & inside).sum()
            assert part.errors <= most_errors(part.answered, TARGET.alpha, TARGET.delta)
            assert f"{part.name}: {part.errors} of {part.answered}" in certificate.sentence()
        assert (certificate.answered, certificate.errors) == (outcome.answered.sum(), outcome.wrong.sum())
        assert certificate.coverage <= whole.coverage
        assert Certificate.from_dict(certificate.to_dict()) == certificate
    assert (
        "each answer by itself" in certify_path(path, TARGET, three_parts(8000, 1)[1], test=TEST).sentence()
    )


def test_the_rarer_answer_holds_a_cascade_back() -> None:
    """Errors among the answers of a class are as many as the other class is frequent."""
    coverages = [
        certify_path(cascade(8000, 2, share), TARGET, Parts.of_answers(["0", "1"]), test=TEST).coverage
        for share in (0.5, 0.35, 0.2)
    ]
    assert coverages[0] > coverages[1] > coverages[2]


@given(seed=st.integers(0, 300), shuffle=st.integers(0, 300))
@settings(max_examples=15, deadline=None)
def test_the_order_of_images_changes_no_joint_certificate(seed: int, shuffle: int) -> None:
    n = 2500
    path, parts = cascade(n, seed), Parts.of_answers(["0", "1"])
    order = np.random.default_rng(shuffle).permutation(n)
    assert certify_path(path, TARGET, parts, test=TEST) == certify_path(
        path.take(order), TARGET, parts, test=TEST
    )


@given(seed=st.integers(0, 300))
@settings(max_examples=15, deadline=None)
def test_one_part_that_holds_every_image_is_the_promise_over_all(seed: int) -> None:
    n = 2500
    path = cascade(n, seed)
    whole = certify_path(path, TARGET, test=TEST)
    one = certify_path(path, TARGET, Parts.of_slices(Slices(np.full(n, "all")), n), test=TEST)
    assert replace(one, method="m", each=None, parts=(), needed=whole.needed) == whole


def test_a_part_without_enough_answers_is_named_with_what_is_missing() -> None:
    path = cascade(3000, 3, share_of_1=0.02)
    certificate = certify_path(path, TARGET, Parts.of_answers(["empty", "roadwork"]), test=TEST)
    assert not certificate.feasible
    assert certificate.needed.startswith(
        "answer 'roadwork': a risk of 0.01 at 0.95 confidence needs at least 299"
    )
    assert "wrong answers for each answer by itself can be made" in certificate.sentence()
    assert [part.answered for part in certificate.parts] == [0, 0]
    assert Certificate.from_dict(certificate.to_dict()) == certificate


def test_betting_on_all_frames_certifies_cascades_and_each_answer() -> None:
    path = cascade(6000, 5)
    groups = np.arange(6000) // 4
    whole = certify_path_by_betting(path, TARGET, Sampling(groups))
    assert whole.feasible
    assert (whole.n, whole.images) == (1500, 6000)
    # Every pair of such a path is tested: it must start where both answers are frequent enough.
    path = replace(path, pairs=path.pairs[25:])
    each = certify_path_by_betting(path, TARGET, Sampling(groups), Parts.of_answers(["0", "1"]))
    assert each.feasible
    assert each.coverage <= whole.coverage
    assert sum(part.answered for part in each.parts) == each.answered
    rare = certify_path_by_betting(
        cascade(6000, 5, 0.02), TARGET, Sampling(groups), Parts.of_answers(["0", "1"])
    )
    assert not rare.feasible
    assert "for each answer" in rare.needed


@pytest.mark.parametrize("each", [None, "light"])
def test_a_certificate_has_parts_exactly_where_it_says_of_what(each: str | None) -> None:
    path = one_stage(3000, 1)
    certificate = certify_path(path, TARGET, three_parts(3000, 1)[2], test=TEST)
    broken = {"parts": ()} if each else {"each": None}
    with pytest.raises(ValueError, match="has parts exactly if"):
        replace(certificate, **broken)


def _table(seed: int, n: int, accuracy: float) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    confidence, errors = gaussian(accuracy).draw(rng, n)
    selection = gaussian(accuracy).draw(rng, 800)
    return {
        "confidence": confidence,
        "errors": errors,
        "thresholds": plan_thresholds(*selection, n, TARGET),
        "answer": (rng.random(n) < 0.4).astype(int),
        "slices": rng.choice(["a", "b"], n),
        "groups": rng.integers(0, n // 2, n),
    }


def _golden_certify(seed: int) -> Certificate:
    table = _table(seed, 3000, 0.95)
    return certify(table["confidence"], table["errors"], table["thresholds"], TARGET)


def _golden_groups(seed: int) -> Certificate:
    table = _table(seed, 3000, 0.97)
    return certify(table["confidence"], table["errors"], None, TARGET, Sampling(table["groups"], seed=seed))


def _golden_answers(seed: int) -> Certificate:
    table = _table(seed, 3000, 0.97)
    columns = (table["confidence"], table["errors"], AnswerLabels(table["answer"]), table["thresholds"])
    return certify_answers(*columns, TARGET).certificate


def _golden_slices(seed: int) -> Certificate:
    table = _table(seed, 4000, 0.97)
    columns = (table["confidence"], table["errors"], Slices(table["slices"]), table["thresholds"])
    return certify_slices(*columns, TARGET).certificate


def _golden_cascade(seed: int) -> Certificate:
    scores = CascadeWorld().draw(np.random.default_rng(seed), 3000)
    pairs = np.stack([np.linspace(3.2, 0.8, 200), np.linspace(2.6, 0.4, 200)], axis=1)
    return certify_cascade(CascadeScores.read(*scores), pairs, TARGET)


def _golden_betting(seed: int) -> Certificate:
    confidence, errors, groups = GroupedWorld(gaussian(0.97), 0.3).draw(np.random.default_rng(seed), 900)
    return certify_group_means(confidence, errors, 1 - np.linspace(0.3, 1, 141), TARGET, Sampling(groups))


@pytest.mark.parametrize(
    ("certified", "seed", "n", "answered", "errors", "threshold", "coverage_lower_bound"),
    [
        (_golden_certify, 0, 3000, 2474, 16, 0.17272637761352327, 0.8023218974295723),
        (_golden_certify, 1, 3000, 2212, 14, 0.2649102216905943, 0.7149885640962389),
        (_golden_groups, 0, 1292, 1148, 4, 0.11000290848353889, 0.8544958224149325),
        (_golden_groups, 1, 1304, 1145, 5, 0.1333804907796028, 0.8441754450324643),
        (_golden_answers, 0, 3000, 2717, 13, 0.09407339805881587, 0.8833218974295722),
        (_golden_answers, 1, 3000, 2714, 14, 0.09296858851022516, 0.8823218974295722),
        (_golden_slices, 0, 4000, 3616, 18, 0.10319876773624015, 0.8846488621989753),
        (_golden_slices, 1, 4000, 3470, 13, 0.13134664759408687, 0.8481488621989753),
        (_golden_cascade, 0, 3000, 2141, 13, (1.6804020100502512, 1.207035175879397), 0.6913218974295723),
        (_golden_cascade, 1, 3000, 2356, 15, (1.4753768844221105, 1.0190954773869347), 0.7629885640962389),
        (_golden_betting, 0, 900, 5696, 34, 0.14500000000000002, 0.7841205741245346),
        (_golden_betting, 1, 900, 5341, 26, 0.1299999999999999, 0.7993983519023125),
    ],
)
def test_the_walk_proves_what_it_always_did(
    certified: Callable[[int], Certificate],
    seed: int,
    n: int,
    answered: int,
    errors: int,
    threshold: float | tuple[float, float],
    coverage_lower_bound: float,
) -> None:
    """Values of the first version, and of betting by the largest capital on the way."""
    certificate = certified(seed)
    assert (certificate.n, certificate.answered, certificate.errors) == (n, answered, errors)
    assert certificate.threshold == pytest.approx(threshold)
    assert certificate.coverage_lower_bound == pytest.approx(coverage_lower_bound)
