from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import GREEN, RED, channel_images, channel_model

from bundle.loader import load_bundle
from bundle.verify import verify_bundle
from trainer.bundling.finish import RunResult
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import ModelInput, find_output
from trainer.data.faults import FaultyData
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import read_json
from trainer.scoring.split_scores import load_scores


def test_a_cascade_is_certified_and_its_bundle_serves(wrapped: RunResult) -> None:
    certificate = wrapped.policy.certificate
    assert certificate.feasible
    assert certificate.meets_coverage
    assert certificate.engine == "onnxruntime-cpu/fp32"
    assert certificate.split_digest == read_json(wrapped.run.splits)["digests"]["val_calib"]
    assert verify_bundle(wrapped.run.bundle) == wrapped.manifest
    bundle = load_bundle(wrapped.run.bundle)
    assert bundle.certified
    assert bundle.operating_point == wrapped.policy.point
    assert wrapped.manifest.stage_a_share == wrapped.report.value("stage_a_share")  # type: ignore[union-attr]
    assert len(wrapped.manifest.golden) >= 4


def test_the_promise_holds_on_fresh_images(wrapped: RunResult) -> None:
    fresh = channel_images(3000, seed=77)
    decisions = load_bundle(wrapped.run.bundle).runner.decide([fresh.read(row) for row in range(len(fresh))])
    answered = np.array([decision.decision == "answer" for decision in decisions])
    labels = np.array([decision.label if decision.label is not None else -1 for decision in decisions])
    wrong = answered & (labels != fresh.labels)
    coverage = wrapped.policy.certificate.coverage
    assert answered.mean() == pytest.approx(coverage, abs=4 * np.sqrt(coverage * (1 - coverage) / 1500))
    # At a true risk of 1 %, more than 1 % + 3.5 standard errors has a chance of 1 in 4000.
    assert wrong.sum() / answered.sum() < 0.01 + 3.5 * np.sqrt(0.01 * 0.99 / answered.sum())


def test_splits_go_one_to_six_and_share_no_image(wrapped: RunResult) -> None:
    rows = read_json(wrapped.run.splits)["rows"]
    assert [len(rows[name]) for name in ("train", "val_select", "val_calib", "val_test")] == [
        1,
        300,
        1799,
        300,
    ]
    assert len(np.unique(np.concatenate(list(rows.values())))) == 2400


def test_groups_stay_together_and_count_once(tmp_path: Path, quiet: RunConsole) -> None:
    source = channel_images(1800, frames=6, group=True)
    model = ModelInput(channel_model(tmp_path / "red.onnx", RED), normalisation="zero-one")
    result = certify_models(WrapConfig(model), source, tmp_path / "run", quiet)
    certificate = result.policy.certificate
    assert certificate.population == "random group, random frame"
    assert certificate.n == 300 - 38 - 38 - 1
    groups = {
        name: set(load_scores(result.run.scores(name)).groups.tolist())  # type: ignore[union-attr]
        for name in ("val_select", "val_calib", "val_test")
    }
    assert not groups["val_select"] & groups["val_calib"]
    assert not groups["val_calib"] & groups["val_test"]
    # 223 groups can never certify 1 %: said with the number of groups missing, and the bundle abstains.
    assert not certificate.feasible
    assert certificate.needed is not None
    assert "more labelled groups" in certificate.needed
    assert load_bundle(result.run.bundle).runner.decide([source.read(0)])[0].decision == "abstain"


@pytest.mark.parametrize("output", ["logits", "probabilities", "binary_logit", "binary_probability"])
def test_the_meaning_of_the_output_is_found(tmp_path: Path, output: str) -> None:
    model = ModelInput(channel_model(tmp_path / "model.onnx", GREEN, output), normalisation="zero-one")
    assert find_output(model, model.content(), channel_images(100)) == output


def test_other_classes_than_the_labels_are_refused(tmp_path: Path, quiet: RunConsole) -> None:
    from dataclasses import replace

    source = replace(channel_images(50), class_names=("calm", "busy", "closed"))
    model = ModelInput(channel_model(tmp_path / "red.onnx", RED), normalisation="zero-one")
    with pytest.raises(
        RunError, match=r"red\.onnx tells 2 classes apart, the labels 3 \(calm, busy, closed\)"
    ):
        certify_models(WrapConfig(model), source, tmp_path / "run", quiet)


def test_forty_images_make_a_valid_bundle_that_abstains(tmp_path: Path, quiet: RunConsole) -> None:
    model = ModelInput(channel_model(tmp_path / "red.onnx", RED), normalisation="zero-one")
    result = certify_models(WrapConfig(model), channel_images(40), tmp_path / "run", quiet)
    assert not result.policy.certificate.feasible
    assert "more labelled images" in (result.policy.certificate.needed or "")
    assert not load_bundle(result.run.bundle).certified


def test_unreadable_images_stop_it_and_skip_bad_goes_on(tmp_path: Path, quiet: RunConsole) -> None:
    from dataclasses import replace

    from fakes.channel_models import EncodedImages

    source = channel_images(60)
    images = [source.read(row) for row in range(60)]
    images[7] = b"no image"
    broken = replace(source, reader=EncodedImages(images))
    model = ModelInput(channel_model(tmp_path / "red.onnx", RED), normalisation="zero-one")
    with pytest.raises(FaultyData, match=r"7\.png"):
        certify_models(WrapConfig(model), broken, tmp_path / "stopped", quiet)
    result = certify_models(WrapConfig(model), broken, tmp_path / "skipped", quiet, skip_bad=True)
    assert read_json(result.run.faults)["dropped"] == ["7.png"]


def test_wrapping_loads_no_training_library() -> None:
    code = (
        "import sys, trainer.bundling.wrap, trainer.bundling.rerun; "
        "import trainer.reports.threshold_sweep, trainer.scoring.score_file; "
        "print({'torch', 'transformers', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
