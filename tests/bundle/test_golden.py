"""Golden cases: which are chosen, which decisions are expected elsewhere, what counts as a mismatch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.tiny_bundle import colour_image, colour_images, colour_model, tiny_draft

from bundle.draft import GoldenCandidate
from bundle.engines.contract import ModelUnfit
from bundle.engines.model import open_model
from bundle.golden import (
    CASES_PER_KIND,
    OTHER_ENGINE_TOLERANCE,
    GoldenMismatch,
    check_golden,
    choose,
    expectations,
)
from bundle.loader import load_bundle
from bundle.manifest import BundleManifest
from bundle.runner import CascadeRunner, CascadeStage
from bundle.verify import verify_bundle
from calibration.decision import OperatingPoint, StageRule

KEY = "onnxruntime-cpu/fp32"


def runner_with_gain(gain: float, point: OperatingPoint) -> CascadeRunner:
    """The tiny cascade, stage A's weights scaled: the same files, another machine."""
    draft = tiny_draft()
    models = (colour_model(16, gain), colour_model(32, 8.0, gate=True))
    return CascadeRunner(
        [
            CascadeStage(stage.preprocess, open_model(model))
            for stage, model in zip(draft.stages, models, strict=True)
        ],
        point,
    )


@pytest.fixture
def manifest(tiny_bundle: Path) -> BundleManifest:
    return verify_bundle(tiny_bundle)


@pytest.fixture
def images(tiny_bundle: Path, manifest: BundleManifest) -> dict[str, bytes]:
    return {case.file: (tiny_bundle / case.file).read_bytes() for case in manifest.golden}


def test_every_label_and_outcome_is_represented(manifest: BundleManifest) -> None:
    kinds = [
        (case.label, case.expected[KEY].decision.decision, case.expected[KEY].decision.stage)
        for case in manifest.golden
        if case.expected[KEY].decision is not None
    ]
    assert len(kinds) == len(manifest.golden) == 6 * CASES_PER_KIND
    assert set(kinds) == {
        (label, *outcome)
        for label in (0, 1)
        for outcome in (("answer", "A"), ("answer", "B"), ("abstain", "B"))
    }


def test_the_first_of_each_kind_are_chosen() -> None:
    candidates = colour_images(per_kind=5)
    point = tiny_draft().certificates[0].operating_point
    decisions = runner_with_gain(5.0, point).decide([candidate.data for candidate in candidates])
    assert choose([candidate.label for candidate in candidates], decisions) == [
        0,
        1,
        5,
        6,
        10,
        11,
        15,
        16,
        20,
        21,
        25,
        26,
    ]


def test_unlabelled_candidates_are_one_kind() -> None:
    candidates = [GoldenCandidate(image.data) for image in colour_images(per_kind=5)]
    point = tiny_draft().certificates[0].operating_point
    decisions = runner_with_gain(5.0, point).decide([candidate.data for candidate in candidates])
    assert len(choose([candidate.label for candidate in candidates], decisions)) == 3 * CASES_PER_KIND


def test_near_a_threshold_no_decision_is_expected() -> None:
    image = colour_image(1, 0.9)
    far = OperatingPoint((StageRule(threshold=3.0), StageRule(threshold=2.5)))
    confidence = runner_with_gain(5.0, far).decide([image])[0].confidence
    near = OperatingPoint((StageRule(threshold=confidence - 0.1), StageRule(threshold=2.5)))
    assert expectations([image], runner_with_gain(5.0, far))[0].decision is not None
    assert expectations([image], runner_with_gain(5.0, near))[0].decision is None


def test_the_margin_of_a_set_threshold_counts_as_well() -> None:
    image = colour_image(1, 0.4)
    scores = runner_with_gain(5.0, OperatingPoint((StageRule(), StageRule())))
    smaller = min(expectations([image], scores)[0].probabilities[1])
    for cut, clear in ((smaller * 1.05, False), (smaller * 2.0, True)):
        point = OperatingPoint((StageRule(), StageRule(threshold=0.5, set_threshold=cut)))
        outcome = expectations([image], runner_with_gain(5.0, point))[0]
        assert (outcome.decision is not None) == clear


def test_the_same_machine_agrees(manifest: BundleManifest, images: dict[str, bytes]) -> None:
    check_golden(manifest, images, runner_with_gain(5.0, manifest.certificates[0].operating_point), KEY)


def test_a_difference_within_the_tolerance_passes(manifest: BundleManifest, images: dict[str, bytes]) -> None:
    check_golden(manifest, images, runner_with_gain(5.002, manifest.certificates[0].operating_point), KEY)


def test_other_scores_are_a_mismatch(manifest: BundleManifest, images: dict[str, bytes]) -> None:
    runner = runner_with_gain(5.5, manifest.certificates[0].operating_point)
    with pytest.raises(GoldenMismatch, match=r"golden/0.*at most 0\.005") as caught:
        check_golden(manifest, images, runner, KEY)
    assert caught.value.file.startswith("golden/")


def test_another_decision_is_a_mismatch(manifest: BundleManifest, images: dict[str, bytes]) -> None:
    stricter = OperatingPoint((StageRule(threshold=50.0), StageRule(threshold=2.5)))
    with pytest.raises(GoldenMismatch, match="decided"):
        check_golden(manifest, images, runner_with_gain(5.0, stricter), KEY)


def test_an_engine_without_expectations_is_compared_with_another(
    manifest: BundleManifest, images: dict[str, bytes]
) -> None:
    point = manifest.abstaining_point()
    check_golden(manifest, images, runner_with_gain(5.3, point), "onnxruntime-cuda/fp32")
    with pytest.raises(GoldenMismatch, match=f"{OTHER_ENGINE_TOLERANCE:g}"):
        check_golden(manifest, images, runner_with_gain(15.0, point), "onnxruntime-cuda/fp32")


def test_expected_values_of_another_shape(manifest: BundleManifest, images: dict[str, bytes]) -> None:
    draft = tiny_draft(stages=1)
    stage = draft.stages[0]
    engine = open_model(colour_model(16, 5.0))
    runner = CascadeRunner([CascadeStage(stage.preprocess, engine)], OperatingPoint((StageRule(),)))
    with pytest.raises(GoldenMismatch, match="5 expected values, the models give 2"):
        check_golden(manifest, images, runner, KEY)


def test_scores_that_are_no_numbers_are_refused(manifest: BundleManifest, images: dict[str, bytes]) -> None:
    runner = runner_with_gain(float("nan"), manifest.certificates[0].operating_point)
    with pytest.raises(ModelUnfit, match="not finite"):
        check_golden(manifest, images, runner, KEY)


def test_expectations_need_a_point() -> None:
    runner = runner_with_gain(5.0, OperatingPoint((StageRule(), StageRule())))
    undecided = CascadeRunner(runner.stages)
    with pytest.raises(ValueError, match="cannot decide"):
        expectations([colour_image(0, 0.9)], undecided)


def test_a_loaded_bundle_has_passed_them(tiny_bundle: Path) -> None:
    loaded = load_bundle(tiny_bundle)
    assert loaded.certified
    assert replace(loaded).manifest.golden
