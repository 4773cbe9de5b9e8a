"""`demur wrap` on files, and the record of its run."""

from __future__ import annotations

from pathlib import Path

from fakes.channel_models import RED, channel_images, channel_model
from typer.testing import CliRunner

from demur.cli import app
from trainer.data.config import DataOverrides
from trainer.data.reopening import reopen
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.record import read_record


def test_a_run_of_wrapped_models_can_reopen_its_images(tmp_path: Path) -> None:
    images = channel_images(60)
    for row in range(len(images)):
        folder = tmp_path / "images" / images.class_names[images.labels[row]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.png").write_bytes(images.read(row))
    model = channel_model(tmp_path / "red.onnx", RED)
    spec, out = f"folder:{tmp_path / 'images'}", tmp_path / "run"
    named = ["--class-names=calm,busy", "--normalisation=zero-one"]
    result = CliRunner().invoke(app, ["wrap", f"--model={model}", f"--data={spec}", f"--out={out}", *named])
    assert result.exit_code == 0, result.output
    assert "299 calibration images answered without an error are the least" in " ".join(result.output.split())
    record = read_record(RunFolder(out))
    assert record.provenance.config["data"]["source"] == spec  # type: ignore[index, call-overload]
    source, splits = reopen(RunFolder(out), record, DataOverrides(), RunConsole())
    assert source.class_names == ("calm", "busy")
    assert sum(map(len, splits.to_dict()["rows"].values())) == 60


def test_an_unusable_name_is_refused_before_delta_is_spent(tmp_path: Path) -> None:
    model = channel_model(tmp_path / "red.onnx", RED)
    out = tmp_path / "run"
    arguments = [f"--model={model}", f"--data=folder:{tmp_path}", f"--out={out}", "--name=Bad Name"]
    result = CliRunner().invoke(app, ["wrap", *arguments])
    assert isinstance(result.exception, RunError)
    assert "name is 'Bad Name'" in str(result.exception)
    assert not out.exists()
