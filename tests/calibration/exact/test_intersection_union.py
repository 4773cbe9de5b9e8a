"""One threshold for every slice, and several risks at once."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import (
    AnswerLabels,
    Certificate,
    CertifiedOn,
    PathTest,
    RiskSequence,
    RiskTarget,
    Sampling,
    Slices,
    StagePath,
    certify,
    certify_answers,
    certify_path,
    certify_several,
    certify_slices,
)
from calibration.exact.fallback import RiskProof, fallback_procedure

TARGET = RiskTarget()
GRID = np.linspace(1, 0, 201)


def draw(n: int, rate: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, rng.random(n) < rate * (1 - confidence) ** 4


def planned_for(
    confidence: np.ndarray, errors: np.ndarray, grid: np.ndarray | None, at: RiskTarget, planned: RiskTarget
) -> Certificate:
    return certify_path(
        StagePath.read(confidence, errors, grid), at, test=PathTest("planned"), planned=planned
    )


def test_each_slice_needs_its_own_299_answers() -> None:
    confidence, slices = np.ones(700), np.repeat(["day", "night"], [401, 299])
    assert certify_slices(confidence, np.zeros(700), Slices(slices), [1.0], TARGET).certificate.feasible
    fewer = np.repeat(["day", "night"], [402, 298])
    certificate = certify_slices(confidence, np.zeros(700), Slices(fewer), [1.0], TARGET).certificate
    assert not certificate.feasible
    assert "slice 'night'" in certificate.needed
    assert "at least 1 more labelled images" in certificate.needed


def test_the_first_step_allows_one_error_in_every_slice() -> None:
    confidence = np.linspace(1, 0, 2000)
    slices = np.arange(2000) % 2
    errors = np.isin(np.arange(2000), [100, 101])  # one in each slice, among its first 299
    joint = certify_slices(confidence, errors, Slices(slices), GRID, TARGET)
    assert joint.certificate.feasible
    assert [report.errors for report in joint.certificate.parts] == [1, 1]


def test_a_bad_slice_lowers_coverage_and_the_loss_is_reported() -> None:
    confidence, errors = draw(6000)
    night = np.arange(6000) % 3 == 0
    errors = errors | (night & (confidence < 0.5) & (np.random.default_rng(1).random(6000) < 0.1))
    slices = np.where(night, "night", "day")
    joint = certify_slices(
        confidence, errors, Slices(slices), GRID, TARGET, certified_on=CertifiedOn("d", "e")
    )
    overall = certify(confidence, errors, GRID, TARGET)
    assert joint.certificate.feasible
    assert joint.coverage_overall == overall.coverage
    assert joint.price == pytest.approx(overall.coverage - joint.certificate.coverage)
    assert joint.price > 0.0
    assert [report.name for report in joint.certificate.parts] == ["day", "night"]
    for report in joint.certificate.parts:
        chosen = (slices == report.name) & (confidence >= joint.certificate.threshold)
        assert (report.answered, report.errors) == (chosen.sum(), (chosen & errors).sum())
        assert report.coverage == pytest.approx(chosen.sum() / (slices == report.name).sum())
        assert report.errors / report.answered <= 0.01
    assert sum(report.answered for report in joint.certificate.parts) == joint.certificate.answered
    assert joint.certificate.split_digest == "d"


def test_every_answer_must_be_seen_to_be_promised() -> None:
    confidence, errors = draw(3000, 0.01)
    answer = np.arange(3000) % 2
    both = certify_answers(confidence, errors, AnswerLabels(answer), GRID, TARGET)
    assert both.certificate.feasible
    assert [report.name for report in both.certificate.parts] == ["0", "1"]
    third = certify_answers(confidence, errors, AnswerLabels(answer, 3), GRID, TARGET)
    assert not third.certificate.feasible
    assert "answer '2'" in third.certificate.needed
    with pytest.raises(ValueError, match=r"labels 0\.\.1"):
        certify_answers(confidence, errors, AnswerLabels(answer + 1), GRID, TARGET)


def test_a_slice_of_errors_alone_is_named() -> None:
    confidence = np.linspace(0, 1, 2000)
    slices = np.arange(2000) % 2
    certificate = certify_slices(confidence, slices == 1, Slices(slices), GRID, TARGET).certificate
    assert not certificate.feasible
    assert certificate.needed.startswith("slice '1'")
    assert "better classifier" in certificate.needed


def test_groups_count_once_in_slices() -> None:
    confidence, _ = draw(4000)
    slices = np.repeat(np.arange(2000) % 2, 2)
    joint = certify_slices(
        confidence, np.zeros(4000), Slices(slices), GRID, TARGET, Sampling(np.repeat(np.arange(2000), 2))
    )
    assert joint.certificate.n == 2000
    assert [report.n for report in joint.certificate.parts] == [1000, 1000]


def test_malformed_slices_are_refused() -> None:
    with pytest.raises(ValueError, match="slices has shape"):
        certify_slices([0.5, 0.6], [0, 0], Slices(["a"]), [0.5], TARGET)
    with pytest.raises(ValueError, match="no slice"):
        certify_slices([], [], Slices([]), [0.5], TARGET)


def test_several_risks_share_delta_in_their_order() -> None:
    confidence, errors = draw(6000, 0.3)
    ladder = certify_several(confidence, errors, GRID, RiskSequence((0.01, 0.03, 0.005)), TARGET)
    assert [c.alpha for c in ladder.certificates] == [0.01, 0.03, 0.005]
    assert [c.delta for c in ladder.certificates] == pytest.approx([0.05 / 3] * 3)
    coverage = [c.coverage for c in ladder.certificates]
    assert coverage[2] < coverage[0] < coverage[1] < 1.0
    assert all(price >= 0.0 for price in ladder.prices)
    assert ladder.coverage_alone[0] == certify(confidence, errors, GRID, TARGET).coverage


def test_a_risk_proven_everywhere_hands_its_delta_on() -> None:
    confidence, errors = draw(6000, 0.12)
    ladder = certify_several(confidence, errors, GRID, RiskSequence((0.1, 0.01), (0.2, 0.8)), TARGET)
    assert ladder.certificates[0].coverage == 1.0
    assert [c.delta for c in ladder.certificates] == pytest.approx([0.01, 0.05])
    backwards = certify_several(confidence, errors, GRID, RiskSequence((0.01, 0.1), (0.2, 0.8)), TARGET)
    assert backwards.certificates[0].coverage < 1.0
    assert [c.delta for c in backwards.certificates] == pytest.approx([0.01, 0.04])


def test_delta_that_is_handed_on_does_not_choose_the_steps() -> None:
    """A risk with delta from an earlier one is tested at the steps that its own share plans."""
    tested: list[tuple[RiskTarget, RiskTarget]] = []

    def prove(at: RiskTarget, planned: RiskTarget) -> RiskProof:
        tested.append((at, planned))
        return RiskProof(planned_for(confidence, errors, GRID, at, planned), at.alpha == 0.1)

    confidence, errors = draw(6000, 0.12)
    fallback_procedure(prove, RiskSequence((0.1, 0.01), (0.2, 0.8)), TARGET)
    assert [(at.delta, planned.delta) for at, planned in tested[:2]] == [
        (pytest.approx(0.01), pytest.approx(0.01)),
        (pytest.approx(0.05), pytest.approx(0.04)),
    ]


def test_the_steps_are_those_of_the_plan() -> None:
    """At every delta at which they are then tested."""
    confidence = np.linspace(1.0, 0.0, 350)
    errors = np.zeros(350)
    at = RiskTarget(alpha=0.01, delta=0.05)
    assert certify(confidence, errors, None, at).feasible
    # At .025 at least 368 are needed, so the plan for it has no step among 350.
    stricter = planned_for(confidence, errors, None, at, RiskTarget(alpha=0.01, delta=0.025))
    assert not stricter.feasible
    assert "at least 368" in (stricter.needed or "")
    # At .1 they are 230, so a sequence planned for it starts at a step that cannot pass at .05.
    assert not planned_for(confidence, errors, None, at, RiskTarget(alpha=0.01, delta=0.1)).feasible


def test_an_impossible_risk_costs_the_others_nothing_more() -> None:
    confidence, errors = draw(2000, 0.2)
    ladder = certify_several(confidence, errors, GRID, RiskSequence((0.0001, 0.02)), TARGET)
    assert not ladder.certificates[0].feasible
    assert ladder.certificates[1].feasible


@pytest.mark.parametrize(
    ("alphas", "shares", "message"),
    [
        ((), None, "at least one"),
        ((0.01, 0.01), None, "each once"),
        ((0.01, 0.02), (0.5,), "one per risk"),
        ((0.01, 0.02), (0.9, 0.9), "at most 1"),
        ((0.01, 0.02), (0.0, 0.9), "positive"),
    ],
)
def test_malformed_ladders_are_refused(
    alphas: tuple[float, ...], shares: tuple[float, ...] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RiskSequence(alphas, shares)
