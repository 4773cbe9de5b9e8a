"""What a run can promise beyond all answers together: each answer, each slice, several risks, all frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.run_files import forget_certificates
from fakes.worlds import CascadeWorld

from bundle.loader import load_bundle
from calibration.bounds import fewest_answered
from calibration.certificate import RiskTarget
from calibration.decision import StageRule, answers
from calibration.ledger import Ledger
from calibration.scores import StageOutputs
from demur.commands.calibrate import OVER_ALL_ANSWERS, PromiseChoice
from trainer.bundling.finish import RunResult
from trainer.bundling.rerun import recalibrate
from trainer.certify.certification import charge, prove, read_policy, write_policy
from trainer.certify.evidence import Evidence, plan_path
from trainer.certify.exact import reads_all_frames
from trainer.certify.policy_outcome import apply_policy
from trainer.data.splits import CalibrationNeed, SplitSizes
from trainer.errors import RunError
from trainer.run.folder import RunFolder, read_json
from trainer.run.promise import PromiseConfig
from trainer.scoring.split_scores import SplitScores

WORLD = CascadeWorld(accuracy_a=0.96, accuracy_b=0.985)


def scores(split: str, n: int, seed: int, frames: int = 1, alike: bool = False) -> SplitScores:
    """Logits of two stages; with `frames`, groups of so many images, whose errors are `alike` or not."""
    rng = np.random.default_rng(seed)
    a, wrong_a, b, wrong_b = WORLD.draw(rng, n // frames if alike else n)
    if alike:
        a, wrong_a, b, wrong_b = (np.repeat(column, frames) for column in (a, wrong_a, b, wrong_b))
    labels = (rng.random(n) < 0.4).astype(np.int64)
    stages = []
    for confidence, wrong in ((a, wrong_a), (b, wrong_b)):
        signed = np.where(np.where(wrong, 1 - labels, labels) == 1, confidence, -confidence) / 2
        stages.append(StageOutputs(np.stack([-signed, signed], axis=1)))
    return SplitScores(
        split=split,
        digest=f"{split}-{seed}",
        engine="onnxruntime-cpu/fp32",
        labels=labels,
        stages=tuple(stages),
        groups=np.array([f"drive-{i // frames}" for i in range(n)]) if frames > 1 else None,
        slices={"light": np.where(np.arange(n) // frames % 3 == 0, "night", "day")},
    )


def evidence(promise: PromiseConfig, stages: int = 2, **how: int | bool) -> Evidence:
    select, calib = scores("val_select", 1200, 1, **how), scores("val_calib", 6000, 2, **how)
    return Evidence(
        replace(select, stages=select.stages[-stages:]),
        replace(calib, stages=calib.stages[-stages:]),
        (StageRule(), StageRule())[:stages],
        (1.0, 10.0)[-stages:],
        promise,
        ("no roadwork", "roadwork"),
    )


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize(
    ("promise", "names"),
    [
        (PromiseConfig(each_answer=True), ["no roadwork", "roadwork"]),
        (PromiseConfig(slices="light"), ["day", "night"]),
    ],
)
def test_each_part_is_proven_on_the_policy_that_is_served(
    promise: PromiseConfig, names: list[str], stages: int
) -> None:
    given = evidence(promise, stages)
    policy = prove(given)
    certificate = policy.certificate
    assert certificate.feasible
    assert [part.name for part in certificate.parts] == names
    outcome = apply_policy(given.calib, policy.point)
    belongs = outcome.forced if promise.each_answer else (given.calib.slices["light"] == "night").astype(int)
    for code, part in enumerate(certificate.parts):
        assert part.answered == (outcome.answered & (belongs == code)).sum()
        assert part.errors == (outcome.wrong & (belongs == code)).sum()
    assert policy.remarks[0].startswith("It holds for each ")
    assert policy.remarks[-1].startswith("Price: ")
    assert certificate.coverage <= prove(evidence(PromiseConfig(), stages)).certificate.coverage
    assert f"{names[0]}: " in certificate.sentence()


def test_several_risks_share_delta_and_the_first_is_served(tmp_path: Path) -> None:
    policy = prove(evidence(PromiseConfig(alphas=(0.01, 0.03, 0.005))))
    assert policy.certificate.alpha == 0.01
    assert [certificate.alpha for certificate in policy.further] == [0.03, 0.005]
    coverage = [c.coverage for c in (policy.certificate, *policy.further)]
    assert coverage[2] < coverage[0] < coverage[1]
    assert sum(c.delta for c in (policy.certificate, *policy.further) if c.delta is not None) >= 0.05 - 1e-9
    stated = tuple(rule.threshold for rule in policy.point.stages)
    assert stated == tuple(None if np.isinf(t) else t for t in policy.certificate.threshold)
    assert policy.remarks[0] == "All together with 95 % confidence:"
    assert policy.path is not None
    assert policy.certificate.threshold in [tuple(pair) for pair in policy.path.tolist()]
    run = RunFolder(tmp_path)
    write_policy(policy, run)
    again = read_policy(run)
    assert (again.certificate, again.further, again.point) == (
        policy.certificate,
        policy.further,
        policy.point,
    )


def test_a_promise_of_three_in_a_thousand_is_made_or_says_what_it_needs() -> None:
    policy = prove(evidence(PromiseConfig(alpha=0.003)))
    assert policy.certificate.feasible
    assert "at most 0.3 % of the answered images" in policy.certificate.sentence()
    given = evidence(PromiseConfig(alpha=0.003))
    few = replace(given, calib=given.calib.take(np.arange(900)))
    needed = prove(few).certificate.needed
    assert needed is not None
    assert "needs at least 998 answered calibration images without an error (1580 with one)" in needed
    assert "alpha = " in needed


def test_the_calibration_split_is_as_large_as_the_risk_needs() -> None:
    for alpha, least in ((0.01, 473), (0.003, 1580)):
        assert SplitSizes.planned(8000, CalibrationNeed(RiskTarget(alpha=alpha))).val_calib >= 1.2 * least
    rarer = SplitSizes.planned(8000, CalibrationNeed(RiskTarget(), smallest_part=0.25))
    assert rarer.val_calib >= 4 * 473


def test_all_frames_are_read_where_errors_of_a_group_are_not_alike() -> None:
    assert reads_all_frames(evidence(PromiseConfig(), frames=4))
    assert not reads_all_frames(evidence(PromiseConfig(), frames=4, alike=True))
    assert not reads_all_frames(evidence(PromiseConfig(frames="one"), frames=4))
    assert reads_all_frames(evidence(PromiseConfig(frames="all"), frames=4, alike=True))
    assert not reads_all_frames(evidence(PromiseConfig(unit="image", max_group_size=4), frames=4))
    assert not reads_all_frames(evidence(PromiseConfig(frames="all")))


def test_betting_on_all_frames_answers_more_where_it_is_chosen() -> None:
    betting = prove(evidence(PromiseConfig(), frames=4)).certificate
    one = prove(evidence(PromiseConfig(frames="one"), frames=4)).certificate
    assert betting.method.startswith("fixed sequence, betting on group means")
    assert one.method.startswith("exact fixed sequence")
    assert (betting.n, betting.images) == (1500, 6000)
    assert betting.coverage > one.coverage


def test_a_column_that_is_not_there_is_refused_before_it_costs_anything() -> None:
    given = evidence(PromiseConfig(slices="weather"))
    with pytest.raises(RunError, match=r"slices is 'weather'; the scores of val_calib have light"):
        charge(given, Ledger())


def test_what_is_promised_of_each_is_written_into_the_ledger() -> None:
    def entry(promise: PromiseConfig) -> str:
        return charge(evidence(promise), Ledger()).entries("val_calib-2")[0].what

    assert entry(PromiseConfig(each_answer=True)).endswith("each answer, alpha 0.01")
    assert entry(PromiseConfig(slices="light")).endswith("each value of light, alpha 0.01")
    assert entry(PromiseConfig(alphas=(0.01, 0.02))).endswith("alpha 0.01, 0.02")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"each_answer": True, "slices": "light"}, "each_answer and slices are different promises"),
        ({"each_answer": True, "certificate": "scrc-t"}, "by the exact certificate only"),
        ({"alphas": (0.02, 0.01)}, "must begin with alpha = 0.01"),
        ({"alphas": (0.01, 0.01)}, "name each risk once"),
        ({"alphas": (0.01, 1.5)}, "alphas is 1.5"),
        ({"frames": "all", "unit": "image", "max_group_size": 4}, "choose unit group, or frames best"),
    ],
)
def test_promises_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RunError, match=message):
        PromiseConfig().changed(changes)


def test_what_is_asked_for_takes_the_place_of_what_was() -> None:
    each = PromiseConfig().changed(PromiseChoice(each_answer=True).changes())
    assert each.each_answer
    ladder = each.changed(PromiseChoice(alphas="0.02,0.01").changes())
    assert (ladder.alphas, ladder.alpha, ladder.each_answer) == ((0.02, 0.01), 0.02, False)
    assert ladder.changed(PromiseChoice().changes()) == ladder
    assert ladder.changed(OVER_ALL_ANSWERS).alphas == ()


def test_a_run_promises_each_answer_and_its_bundle_says_so(run_copy: Path, wrapped: RunResult) -> None:
    forget_certificates(run_copy)
    result = recalibrate(run_copy, PromiseChoice(each_answer=True).changes())
    certificate = result.policy.certificate
    assert certificate.feasible
    assert certificate.coverage <= wrapped.policy.certificate.coverage
    loaded = load_bundle(run_copy / "bundle")
    assert loaded.certificate == certificate
    assert loaded.operating_point == result.policy.point
    assert "for each answer by itself" in loaded.certificate.sentence()
    assert any(line.startswith("Price: ") for line in result.summary)
    assert read_json(run_copy / "run.json")["promise"]["each_answer"] is True


def test_look_ahead_certifies_the_last_stage_alone_and_states_its_assumption() -> None:
    policy = prove(evidence(PromiseConfig(certificate="look-ahead")))
    assert policy.certificate.feasible
    assert policy.certificate.method == "exact fixed sequence, look-ahead"
    assert "errors never become rarer" in policy.certificate.sentence()
    first, last = policy.point.stages
    assert first.threshold is None
    assert last.threshold == policy.certificate.threshold[-1]


def test_a_promise_about_images_of_groups_needs_a_stated_group_size() -> None:
    with pytest.raises(RunError, match="max_group_size"):
        PromiseConfig().changed({"unit": "image"})
    sampling = PromiseConfig(unit="image", max_group_size=7).sampling(None)
    assert sampling.max_group_size == 7


def test_the_plan_of_a_promise_about_groups_counts_each_group_alike() -> None:
    """One long, easy drive has half of the images: planned by images, the tests start with it alone."""
    given = evidence(PromiseConfig(alpha=0.05, min_coverage=0.0), frames=10)
    select = given.select
    assert select.groups is not None
    easy = np.arange(len(select)) >= len(select) // 2
    stages = tuple(StageOutputs(np.where(easy[:, None], 8.0, 1.0) * stage.logits) for stage in select.stages)
    groups = np.where(easy, "long", select.groups)
    path = plan_path(replace(given, select=replace(select, stages=stages, groups=groups)))
    first = np.zeros(len(select), dtype=np.bool_)
    for stage, threshold in zip(stages, path[0], strict=True):
        first |= answers(StageRule().confidence(stage), float(threshold))
    share = np.mean([first[groups == group].mean() for group in np.unique(groups)])
    assert share * given.calib.n_groups >= fewest_answered(1, 0.05, 0.05)
