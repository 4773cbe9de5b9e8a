"""A run's promise for an interval of the prevalence: given, or found from unlabelled images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import RED, channel_images, channel_model
from fakes.shifted_worlds import SHIFTED

from bundle.loader import load_bundle
from calibration.decision import StageRule
from calibration.ledger import Ledger
from calibration.scores import StageOutputs
from demur.commands.calibrate import PromiseChoice
from trainer.bundling.rerun import recalibrate
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import ModelInput
from trainer.certify.certification import charge, fingerprint, prove
from trainer.certify.evidence import Evidence, plan_path
from trainer.certify.policy_outcome import apply_policy
from trainer.certify.prevalence import find_prevalence, planned_interval
from trainer.data.opening import calibration_need
from trainer.errors import DataError, RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.run.promise import PromiseConfig, UnlabelledImages
from trainer.scoring.split_scores import SplitScores

CLASSES = ("no roadwork", "roadwork")


def scores(split: str, n: int, seed: int, share: float = 0.2, moved: float = 0.0) -> SplitScores:
    """Logits of two stages on independent images; the first is a noisy copy of the second."""
    rng = np.random.default_rng(seed)
    odds, labels = SHIFTED.draw(rng, n, share, moved)
    columns = (odds + 4.0 * rng.normal(size=n), odds)
    return SplitScores(
        split=split,
        digest=f"{split}-{seed}",
        engine="onnxruntime-cpu/fp32",
        labels=labels,
        stages=tuple(StageOutputs(np.stack([-column, column], axis=1) / 2.0) for column in columns),
    )


def evidence(promise: PromiseConfig, stages: int = 2, calib: SplitScores | None = None) -> Evidence:
    select, calib = scores("val_select", 2000, 1), calib or scores("val_calib", 6000, 2)
    return Evidence(
        replace(select, stages=select.stages[-stages:]),
        replace(calib, stages=calib.stages[-stages:]),
        (StageRule(), StageRule())[:stages],
        (1.0, 10.0)[-stages:],
        promise,
        CLASSES,
    )


def from_unlabelled(unlabelled: SplitScores) -> Evidence:
    given = evidence(PromiseConfig())
    images = UnlabelledImages(
        source="october",
        digest=unlabelled.digest,
        units=len(unlabelled),
        planned=planned_interval(given, unlabelled),
        delta=0.01,
    )
    return replace(given, promise=PromiseConfig(unlabelled=images), unlabelled=unlabelled)


@pytest.mark.parametrize("stages", [1, 2])
def test_both_ends_are_proven_on_the_policy_that_is_served(stages: int) -> None:
    given = evidence(PromiseConfig(prevalence=(0.1, 0.3)), stages)
    policy = prove(given)
    certificate = policy.certificate
    assert certificate.feasible
    assert [part.name for part in certificate.parts] == ["10 % roadwork", "30 % roadwork"]
    outcome = apply_policy(given.calib, policy.point)
    assert (certificate.answered, certificate.errors) == (outcome.answered.sum(), outcome.wrong.sum())
    assert policy.remarks[0].startswith("It holds at each share")
    assert "as long as between 10 % and 30 % of the images are roadwork" in certificate.sentence()
    threshold = (
        certificate.threshold if isinstance(certificate.threshold, float) else certificate.threshold[-1]
    )
    if stages == 1:
        assert max(SHIFTED.risk(threshold, share) for share in (0.1, 0.2, 0.3)) < 0.012


def test_more_of_the_worse_class_costs_coverage() -> None:
    ordinary, upwards = (
        prove(evidence(promise, 1)).certificate
        for promise in (PromiseConfig(), PromiseConfig(prevalence=(0.2, 0.4)))
    )
    assert upwards.feasible
    assert upwards.coverage < ordinary.coverage


def test_the_path_of_a_cascade_starts_where_the_smaller_sample_can_prove_something() -> None:
    given = evidence(PromiseConfig(prevalence=(0.3, 0.5)))
    certificate = prove(given).certificate
    assert certificate.feasible
    assert len(plan_path(given)) > 1
    assert min(part.n for part in certificate.parts) < 2500 < certificate.n


def test_the_ledger_names_the_shares_and_other_shares_are_another_certificate() -> None:
    one, other = (evidence(PromiseConfig(prevalence=shares)) for shares in ((0.1, 0.3), (0.1, 0.4)))
    assert fingerprint(one) != fingerprint(other)
    ledger = charge(one, Ledger())
    assert "shares (0.1, 0.3)" in ledger.entries("val_calib-2")[0].what
    assert charge(one, ledger) == ledger


def test_a_promise_without_shares_keeps_its_fingerprint() -> None:
    assert "prevalence" not in PromiseConfig().model_dump_json(exclude_none=True)
    assert "unlabelled" not in PromiseConfig().model_dump_json(exclude_none=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prevalence": (0.4, 0.1)}, "0.4 to 0.1 does not"),
        ({"prevalence": (0.1, 1.4)}, "0.1 to 1.4 does not"),
        (
            {"prevalence": (0.1, 0.4), "each_answer": True},
            "each_answer and prevalence are different promises",
        ),
        ({"prevalence": (0.1, 0.4), "alphas": (0.01, 0.02)}, "alphas and prevalence are different"),
        ({"prevalence": (0.1, 0.4), "certificate": "scrc-i"}, "by the exact certificate only"),
        ({"prevalence": (0.1, 0.4), "certificate": "look-ahead"}, "by the exact certificate only"),
        ({"prevalence": (0.1, 0.4), "frames": "all"}, "frames is 'all'"),
        ({"prevalence": (float("nan"), 0.4)}, "prevalence"),
        ({"prevalence": ("a", "b")}, "prevalence"),
        ({"prevalence": 0.3}, "prevalence"),
    ],
)
def test_what_no_promise_can_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RunError, match=message):
        PromiseConfig().changed(changes)


def test_shares_that_do_not_fit_the_classes_cost_nothing() -> None:
    given = replace(evidence(PromiseConfig(prevalence=(0.1, 0.4))), classes=("car", "bus", "bike"))
    with pytest.raises(RunError, match="there are 3 classes"):
        charge(given, Ledger())


def test_a_class_without_enough_calibration_images_is_named() -> None:
    few = scores("val_calib", 2000, 3, share=0.01)
    certificate = prove(evidence(PromiseConfig(prevalence=(0.4, 0.4)), calib=few)).certificate
    assert not certificate.feasible
    assert certificate.needed is not None
    assert certificate.needed.startswith(
        "at 40 % roadwork 473 answers need about 271 roadwork images; there are"
    )


def test_calibration_gets_enough_of_the_class_that_an_end_needs() -> None:
    labels = np.repeat([0, 1], [900, 100])
    usual = calibration_need(labels, PromiseConfig(), pretrained=False)
    at_ends = calibration_need(labels, PromiseConfig(prevalence=(0.05, 0.4)), pretrained=False)
    assert usual.smallest_part == 1.0
    assert at_ends.smallest_part == pytest.approx(0.25)


def test_an_interval_is_found_and_proven_at_the_rest_of_delta() -> None:
    given = from_unlabelled(scores("unlabelled", 5000, 4, share=0.3))
    found = find_prevalence(given)
    assert found.low <= 0.3 <= found.high
    assert found.exact[0] - 0.01 <= found.low <= found.exact[0]
    assert found.point == pytest.approx(0.3, abs=0.03)
    policy = prove(given)
    assert policy.certificate.feasible
    assert policy.certificate.delta == 0.05
    assert policy.certificate.prevalence == (found.low, found.high)
    assert "which is no bound" in policy.remarks[0]
    known = replace(
        given, promise=given.promise.changed({"prevalence": (found.low, found.high)}), unlabelled=None
    )
    assert fingerprint(known) == fingerprint(given)
    assert prove(known).certificate == policy.certificate
    # The same interval as a given one has all of delta, and so answers as much or more.
    stated = prove(evidence(PromiseConfig(prevalence=(found.low, found.high)))).certificate
    assert stated.coverage >= policy.certificate.coverage


def test_images_that_look_otherwise_get_no_certificate() -> None:
    policy = prove(from_unlabelled(scores("unlabelled", 5000, 5, share=0.3, moved=1.5)))
    assert not policy.certificate.feasible
    assert policy.certificate.prevalence is None
    assert "the images themselves have changed" in policy.certificate.sentence()


def test_a_classifier_that_tells_nothing_gets_no_certificate() -> None:
    given = from_unlabelled(scores("unlabelled", 5000, 6))
    rng = np.random.default_rng(0)
    shuffled = replace(given.calib, labels=rng.permutation(given.calib.labels))
    policy = prove(replace(given, calib=shuffled))
    assert not policy.certificate.feasible
    assert "no better than chance" in policy.certificate.sentence()


def test_the_interval_must_leave_something_of_delta() -> None:
    given = from_unlabelled(scores("unlabelled", 100, 7))
    # As engines do that share delta among them.
    for delta in (0.01, 0.005):
        with pytest.raises(RunError, match="find the interval again"):
            given.promise.changed({"delta": delta})


@pytest.fixture(scope="module")
def uncertified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one stage on 3,000 independent images, with no certificate yet; copy it before a change."""
    folder = tmp_path_factory.mktemp("uncertified")
    config = WrapConfig(
        ModelInput(channel_model(folder / "red.onnx", RED), normalisation="zero-one"),
        promise=PromiseConfig(certificate="none"),
    )
    certify_models(config, channel_images(3000), folder / "run", RunConsole())
    return folder / "run"


@pytest.fixture
def copied(uncertified: Path, tmp_path: Path) -> Callable[[], Path]:
    """`copied()` is another copy of that run."""
    numbers = count()
    return lambda: Path(shutil.copytree(uncertified, tmp_path / f"run-{next(numbers)}"))


def october(folder: Path, n: int, seed: int = 7, separation: float = 2.3) -> str:
    """A folder of images of which three quarters are busy, without labels."""
    folder.mkdir()
    images = channel_images(n, seed=seed, separation=separation)
    for row in range(n):
        if images.labels[row] == 1 or row % 3 == 0:
            (folder / f"{row}.png").write_bytes(images.read(row))
    return f"folder:{folder}"


def test_a_run_finds_its_interval_and_its_bundle_says_so(tmp_path: Path, copied: Callable[[], Path]) -> None:
    run = copied()
    source = october(tmp_path / "october", 1500)
    changes = {"certificate": "exact"} | dict(PromiseChoice(prevalence_from=source).changes())
    result = recalibrate(run, changes, prevalence_from=source)
    certificate = result.policy.certificate
    assert certificate.feasible
    assert certificate.prevalence is not None
    low, high = certificate.prevalence
    assert low < 0.75 < high
    assert any("expectation maximisation suggests" in line for line in result.summary)
    loaded = load_bundle(run / "bundle")
    assert loaded.certificate == certificate
    assert certificate.as_long_as() in (run / "bundle" / "README.md").read_text()
    assert read_json(run / "run.json")["promise"]["prevalence"] == [low, high]
    # Neither the same promise nor the same images cost anything.
    assert recalibrate(run, {}).policy.certificate == certificate
    assert recalibrate(run, changes, prevalence_from=source).policy.certificate == certificate
    assert len(read_json(run / "ledger.json")["accounts"]) == 1


def test_labels_of_the_unlabelled_images_change_nothing(tmp_path: Path, copied: Callable[[], Path]) -> None:
    images = channel_images(400, seed=8)
    proven = []
    for turned in (False, True):
        run, folder = copied(), tmp_path / f"labelled-{turned}"
        for row in range(400):
            name = images.class_names[images.labels[row] ^ turned]
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"{row}.png").write_bytes(images.read(row))
        source = f"folder:{folder}"
        changes = {"certificate": "exact"} | dict(PromiseChoice(prevalence_from=source).changes())
        proven.append(recalibrate(run, changes, prevalence_from=source).policy.certificate.prevalence)
    assert proven[0] == proven[1] is not None


def test_what_tells_no_prevalence_is_refused_before_anything_is_charged(
    tmp_path: Path, copied: Callable[[], Path]
) -> None:
    run = copied()
    own = tmp_path / "own"
    own.mkdir()
    split = RunFolder(run).scores("val_calib")
    assert split.is_file()
    images = channel_images(3000)
    for row in range(300):
        (own / f"{row}.png").write_bytes(images.read(row))
    cases = [
        (october(tmp_path / "one", 1), "holds 1 image; a prevalence needs at least 30"),
        (f"folder:{own}", "are calibration images of this run, the first"),
        (f"folder:{tmp_path / 'nowhere'}", "there is no folder"),
    ]
    for source, message in cases:
        with pytest.raises((RunError, DataError), match=message):
            recalibrate(run, {"certificate": "exact"}, prevalence_from=source)
    record = read_json(run / "run.json")
    write_json(run / "run.json", {**record, "classes": ["a", "b", "c"]})
    with pytest.raises(RunError, match="for two classes only, and this run has 3"):
        recalibrate(run, {"certificate": "exact"}, prevalence_from=cases[0][0])
    assert not (run / "ledger.json").is_file() or not read_json(run / "ledger.json")["accounts"]


def test_groups_are_needed_in_the_unlabelled_images_of_a_promise_about_groups(tmp_path: Path) -> None:
    config = WrapConfig(
        ModelInput(channel_model(tmp_path / "red.onnx", RED), normalisation="zero-one"),
        promise=PromiseConfig(certificate="none"),
    )
    certify_models(config, channel_images(900, frames=3, group=True), tmp_path / "run", RunConsole())
    source = october(tmp_path / "october", 90)
    with pytest.raises(RunError, match="has no groups, and the promise of this run is about groups"):
        recalibrate(tmp_path / "run", {"certificate": "exact"}, prevalence_from=source)
