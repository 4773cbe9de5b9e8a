from __future__ import annotations

from pathlib import Path

import pytest
from fakes.run_files import forget_certificates

from bundle.loader import load_bundle
from calibration.errors import DeltaExhausted
from trainer.bundling.finish import RunResult
from trainer.bundling.rerun import evaluate_run, recalibrate, refit_gate
from trainer.errors import RunError
from trainer.reports.threshold_sweep import sweep
from trainer.run.folder import MissingStep, RunFolder, read_json, write_json


def test_the_same_promise_again_costs_nothing_and_gives_the_same(run_copy: Path, wrapped: RunResult) -> None:
    before = (run_copy / "ledger.json").read_bytes()
    again = recalibrate(run_copy, {})
    assert again.policy.certificate == wrapped.policy.certificate
    assert (run_copy / "ledger.json").read_bytes() == before
    assert again.manifest.certificates == wrapped.manifest.certificates


def test_another_promise_on_the_same_split_is_refused_and_changes_nothing(run_copy: Path) -> None:
    files = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()}
    with pytest.raises(DeltaExhausted, match=r"alpha 0\.02.*0 of 0\.05 is left"):
        recalibrate(run_copy, {"alpha": 0.02})
    assert {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()} == files


def test_half_the_delta_leaves_half_for_another_promise(run_copy: Path) -> None:
    forget_certificates(run_copy)
    write_json(run_copy / "ledger.json", {"budget": 0.05, "accounts": {}})
    first = recalibrate(run_copy, {"delta": 0.025})
    second = recalibrate(run_copy, {"delta": 0.025, "alpha": 0.02})
    assert first.policy.certificate.feasible
    assert second.policy.certificate.coverage > first.policy.certificate.coverage
    (entries,) = read_json(run_copy / "ledger.json")["accounts"].values()
    assert len(entries) == 2


def test_without_a_certificate_the_bundle_abstains_on_everything(run_copy: Path, wrapped: RunResult) -> None:
    none = recalibrate(run_copy, {"certificate": "none"})
    assert not none.policy.certificate.feasible
    assert not load_bundle(run_copy / "bundle").certified
    # Nothing was spent on it, and the exact one still costs nothing again.
    assert recalibrate(run_copy, {"certificate": "exact"}).policy.point == wrapped.policy.point


def test_scrc_t_is_in_expectation_and_serves_as_it_was_fitted(run_copy: Path) -> None:
    result = recalibrate(run_copy, {"certificate": "scrc-t", "alpha": 0.02})
    certificate = result.policy.certificate
    assert certificate.feasible
    assert (certificate.kind, certificate.delta, certificate.risk_upper_bound) == ("expectation", None, None)
    assert "in expectation only" in result.summary[0]
    assert read_json(run_copy / "scrcparams.json")["alpha"] == 0.02
    loaded = load_bundle(run_copy / "bundle")
    assert loaded.operating_point == result.policy.point
    assert loaded.operating_point.stages[0].threshold is None
    # Back to the exact one: the parameters of the other method do not stay behind.
    recalibrate(run_copy, {"certificate": "exact", "alpha": 0.01})
    assert not (run_copy / "scrcparams.json").exists()


def test_scrc_i_says_how_many_labels_it_would_need(run_copy: Path) -> None:
    forget_certificates(run_copy)
    result = recalibrate(run_copy, {"certificate": "scrc-i"})
    assert not result.policy.certificate.feasible
    assert "SCRC-I needs about" in (result.policy.certificate.needed or "")


def test_evaluate_repeats_the_report(run_copy: Path, wrapped: RunResult) -> None:
    for path in (run_copy / "metrics").iterdir():
        path.unlink()
    report, policy = evaluate_run(run_copy)
    assert report == wrapped.report
    assert policy.point == wrapped.policy.point
    assert (run_copy / "metrics" / "risk_coverage_curve.png").is_file()


def test_gate_is_refitted_with_a_named_score(run_copy: Path) -> None:
    fit = refit_gate(run_copy, "softmax")
    assert [rule.score for rule in fit.rules] == ["softmax", "softmax"]
    with pytest.raises(RunError, match="no gate output"):
        refit_gate(run_copy, "gate")


def test_an_impossible_promise_names_the_field(run_copy: Path) -> None:
    with pytest.raises(RunError, match=r"alpha is 1\.5"):
        recalibrate(run_copy, {"alpha": 1.5})


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingStep, match=r"run\.json is not there"):
        evaluate_run(tmp_path)


def test_sweep_walks_the_plan_on_val_select_alone(run_copy: Path) -> None:
    (run_copy / "scores" / "val_test.parquet").unlink()
    rows = sweep(run_copy)
    coverage = [row.coverage for row in rows]
    assert coverage == sorted(coverage)
    assert coverage[-1] == 1.0
    assert all(row.error <= row.error_upper_95 for row in rows)
    # Stage A answers some everywhere on this plan, so stage B is spared work.
    assert rows[-1].compute < 1.0 + 1e-9 or rows[-1].stage_a_share == 0.0
    lines = (RunFolder(run_copy).metrics / "threshold_sweep.csv").read_text().splitlines()
    assert len(lines) == len(rows) + 1
