"""The roles of the splits: who may see what, shown by changing labels and comparing what comes out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import channel_images

from trainer.bundling.finish import RunResult, finish_run
from trainer.data.images import ImageSet
from trainer.data.splits import Splits
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, read_json
from trainer.run.record import read_record

PROMISED = ("gateparams.json", "thresholds.json", "certificate.json", "ledger.json")


def _proved_again(
    wrapped: RunResult, folder: Path, quiet: RunConsole, changed_split: str | None, every: int = 1
) -> tuple[RunResult, Splits]:
    """The second half of the run once more, with every n-th label of one split inverted."""
    run = RunFolder(folder)
    for name in ("a", "b"):
        run.stage(name).mkdir(parents=True)
        shutil.copy(wrapped.run.onnx(name), run.onnx(name))
    splits = Splits.from_dict(read_json(wrapped.run.splits))
    source: ImageSet = channel_images(2400)
    if changed_split is not None:
        labels = source.labels.copy()
        rows = getattr(splits, changed_split)[::every]
        labels[rows] = 1 - labels[rows]
        source = replace(source, labels=labels)
    record = read_record(wrapped.run)
    return finish_run(record, source, splits, run, quiet), splits


def test_the_second_half_repeats_exactly(wrapped: RunResult, tmp_path: Path, quiet: RunConsole) -> None:
    again, _ = _proved_again(wrapped, tmp_path / "again", quiet, None)
    for name in (*PROMISED, "metrics/metrics_selective.csv", "metrics/gate_training.csv"):
        assert (again.run.root / name).read_bytes() == (wrapped.run.root / name).read_bytes(), name


def test_labels_of_val_test_change_nothing_but_the_report(
    wrapped: RunResult, tmp_path: Path, quiet: RunConsole
) -> None:
    changed, _ = _proved_again(wrapped, tmp_path / "changed", quiet, "val_test")
    for name in PROMISED:
        assert (changed.run.root / name).read_bytes() == (wrapped.run.root / name).read_bytes(), name
    assert changed.manifest.certificates == wrapped.manifest.certificates
    assert changed.manifest.golden == wrapped.manifest.golden
    assert changed.report is not None
    assert wrapped.report is not None
    # The right answers became the wrong ones.
    assert changed.report.value("selective_error") == pytest.approx(
        1.0 - (wrapped.report.value("selective_error") or 0.0)
    )
    assert changed.report.value("coverage") == wrapped.report.value("coverage")


def test_labels_of_val_calib_reach_the_certificate_alone(
    wrapped: RunResult, tmp_path: Path, quiet: RunConsole
) -> None:
    changed, _ = _proved_again(wrapped, tmp_path / "changed", quiet, "val_calib")
    assert not changed.policy.certificate.feasible
    for name in ("gateparams.json", "metrics/gate_training.csv", "ledger.json"):
        assert (changed.run.root / name).read_bytes() == (wrapped.run.root / name).read_bytes(), name
    assert changed.policy.path is not None
    np.testing.assert_array_equal(changed.policy.path, wrapped.policy.path)


def test_labels_of_val_select_do_reach_the_plan(
    wrapped: RunResult, tmp_path: Path, quiet: RunConsole
) -> None:
    """The comparison above can fail: the split that plans does change the plan."""
    changed, _ = _proved_again(wrapped, tmp_path / "changed", quiet, "val_select", every=4)
    plan = (changed.run.root / "gateparams.json").read_bytes()
    assert plan != (wrapped.run.root / "gateparams.json").read_bytes()


def test_every_step_left_its_file(wrapped: RunResult) -> None:
    for name in (
        *PROMISED,
        "splits.json",
        "run.json",
        "faults.json",
        "scores/val_select.parquet",
        "scores/val_calib.parquet",
        "scores/val_test.parquet",
        "metrics/risk_coverage_curve.png",
        "metrics/augrc_distribution.png",
        "metrics/calibration_curve.png",
        "metrics/metrics_selective.csv",
        "metrics/gate_training.csv",
        "bundle/bundle.json",
        "bundle/metrics/risk_coverage_curve.png",
    ):
        assert (wrapped.run.root / name).is_file(), name


def test_an_empty_val_test_still_makes_a_bundle(
    wrapped: RunResult, tmp_path: Path, quiet: RunConsole
) -> None:
    run = RunFolder(tmp_path / "run")
    for name in ("a", "b"):
        run.stage(name).mkdir(parents=True)
        shutil.copy(wrapped.run.onnx(name), run.onnx(name))
    splits = Splits.from_dict(read_json(wrapped.run.splits))
    splits = replace(splits, val_test=np.array([], dtype=np.int64))
    result = finish_run(read_record(wrapped.run), channel_images(2400), splits, run, quiet)
    assert result.report is None
    assert any("val_test is empty" in line for line in result.summary)
    assert result.manifest.evaluation == {}


def test_an_empty_val_calib_abstains_and_says_how_many_labels_are_missing(
    wrapped: RunResult, tmp_path: Path, quiet: RunConsole
) -> None:
    run = RunFolder(tmp_path / "run")
    for name in ("a", "b"):
        run.stage(name).mkdir(parents=True)
        shutil.copy(wrapped.run.onnx(name), run.onnx(name))
    splits = Splits.from_dict(read_json(wrapped.run.splits))
    splits = replace(splits, val_calib=np.array([], dtype=np.int64), units={**splits.units, "val_calib": 0})
    result = finish_run(read_record(wrapped.run), channel_images(2400), splits, run, quiet)
    assert not result.policy.certificate.feasible
    assert "val_calib empty" in (result.policy.certificate.needed or "")
    assert "299" in (result.policy.certificate.needed or "")
    assert read_json(run.ledger)["accounts"] == {}
