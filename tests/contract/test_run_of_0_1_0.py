"""A run folder and a bundle that version 0.1.0 wrote still work with every verb."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from bundle.loader import load_bundle
from bundle.verify import verify_bundle
from demur.cli import app
from service.lineup.deployment import deployment_for
from service.settings import Settings
from trainer.reports.evaluation import REWARD
from trainer.run.folder import RunFolder, read_json

ARCHIVE = Path(__file__).resolve().parents[1] / "fixtures" / "run-0.1.0.tar.xz"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(ARCHIVE) as archive:
        # Python 3.11.0 to 3.11.3 know no filters.
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder


@pytest.fixture
def run(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy to change, in the working folder, where the run's source is relative to."""
    shutil.copytree(unpacked, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return RunFolder(Path("run"))


def demur(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def rounded(value: Any) -> Any:
    """JSON values with twelve digits: a bound that is computed in another way differs in the sixteenth."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def test_the_bundle_is_inspected_and_verified(run: RunFolder) -> None:
    assert "at most 1 % of the answered images are answered wrongly" in demur("inspect", "run/bundle")
    assert "onnxruntime-cpu/fp32" in demur("verify", "run/bundle")


def test_the_bundle_decides_as_it_was_certified(run: RunFolder) -> None:
    """The runner that serves, on the images that certified it: 383 of 387 answered, none wrongly."""
    rows = read_json(run.splits)["rows"]["val_calib"]
    table = pq.read_table("images.parquet").take(rows)
    images = [
        value["bytes"] if isinstance(value, dict) else value for value in table.column("image").to_pylist()
    ]
    decisions = load_bundle(run.bundle).runner.decide(images)
    labels = table.column("label").to_pylist()
    answered = [
        (one.label, label) for one, label in zip(decisions, labels, strict=True) if one.label is not None
    ]
    assert (len(answered), sum(given != label for given, label in answered)) == (383, 0)


def test_the_service_deploys_the_bundle(run: RunFolder) -> None:
    settings = Settings.read({}, bundle=run.bundle, data_dir=run.root / "data", precision="fp32")
    deployment = deployment_for(settings)
    assert deployment.guarantee is not None
    assert deployment.guarantee["alpha"] == 0.01


def test_the_report_is_the_same_but_for_the_reward_of_another_task(run: RunFolder) -> None:
    before = read_json(run.report)
    before["measurements"] = [one for one in before["measurements"] if one["metric"] != REWARD]
    demur("evaluate", "run")
    assert rounded(read_json(run.report)) == rounded(before)


def test_the_gate_is_the_same_to_the_digit(run: RunFolder) -> None:
    before = run.gate.read_bytes()
    demur("gate", "run")
    assert run.gate.read_bytes() == before


def test_the_same_promise_costs_nothing_and_gives_the_same_certificate(run: RunFolder) -> None:
    before = {file: rounded(read_json(file)) for file in (run.certificate, run.thresholds, run.ledger)}
    demur("calibrate", "run")
    assert {file: rounded(read_json(file)) for file in before} == before
    assert verify_bundle(run.bundle).certificates[0].certificate.coverage == pytest.approx(383 / 387)


def test_another_promise_finds_the_delta_spent(run: RunFolder) -> None:
    before = run.ledger.read_bytes()
    result = CliRunner().invoke(app, ["calibrate", "run", "--each-answer"])
    assert result.exit_code != 0
    assert "0 of 0.05 is left" in str(result.exception)
    assert run.ledger.read_bytes() == before


def test_thresholds_are_swept(run: RunFolder) -> None:
    demur("sweep", "run")
    assert (run.metrics / "threshold_sweep.csv").is_file()


def test_the_bundle_is_certified_at_int8_too(run: RunFolder) -> None:
    said = demur("bundle", "run", "--precision", "int8", "--reissue")
    assert "onnxruntime-cpu/int8: With 97.5 % confidence" in said
    assert [entry.key for entry in verify_bundle(run.bundle).certificates] == [
        "onnxruntime-cpu/fp32",
        "onnxruntime-cpu/int8",
    ]
    # Half of the delta for each of the two.
    assert read_json(run.certificate)["delta"] == 0.025


def test_training_goes_on_without_training_again(run: RunFolder) -> None:
    before = {name: run.onnx(name).read_bytes() for name in "ab"}
    weights = load_file(run.model_weights)
    checkpoints = {name: (run.stage(name) / "training.safetensors").stat().st_mtime_ns for name in "ab"}
    demur("train", "--config", "run/config.yaml", "--out", "run")
    after = load_file(run.model_weights)
    assert after.keys() == weights.keys()
    assert all(np.array_equal(after[name], tensor) for name, tensor in weights.items())
    assert {
        name: (run.stage(name) / "training.safetensors").stat().st_mtime_ns for name in "ab"
    } == checkpoints
    assert {name: run.onnx(name).read_bytes() for name in "ab"} == before
