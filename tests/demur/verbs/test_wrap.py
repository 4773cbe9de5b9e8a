"""`demur wrap` on files, and the record of its run."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result
from fakes.channel_models import GREEN, RED, channel_images, channel_model
from typer.testing import CliRunner

from calibration.errors import DeltaExhausted
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


def test_a_second_promise_of_a_model_is_refused_and_a_second_model_is_told_its_price(tmp_path: Path) -> None:
    images = channel_images(60)
    for row in range(len(images)):
        folder = tmp_path / "images" / images.class_names[images.labels[row]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.png").write_bytes(images.read(row))
    red, green = (channel_model(tmp_path / f"{i}.onnx", channel) for i, channel in enumerate((RED, GREEN)))

    def wrap(model: Path, out: str, *more: str) -> Result:
        given = [f"--model={model}", f"--data=folder:{tmp_path / 'images'}", f"--out={tmp_path / out}"]
        return CliRunner().invoke(
            app, ["wrap", *given, "--normalisation=zero-one", "--class-names=calm,busy", *more]
        )

    assert "This one will spend 0.05" in " ".join(wrap(red, "first").output.split())
    refused = wrap(red, "again", "--alpha=0.02")
    assert isinstance(refused.exception, DeltaExhausted)
    assert "--certificate none" in str(refused.exception)
    assert not (tmp_path / "again" / "scores").exists()
    tried = wrap(red, "again", "--alpha=0.02", "--certificate=none")
    assert tried.exit_code == 0, tried.output
    other = wrap(green, "second")
    assert other.exit_code == 0, other.output
    assert "all together hold with 90 % confidence" in " ".join(other.output.split())
    notice = "Certificate 2 of this calibration split known here; all 2 hold together"
    assert notice in (tmp_path / "second" / "bundle" / "README.md").read_text("utf-8")
    assert "Planned on val_select" in " ".join(tried.output.split())
    repeated = wrap(red, "third")
    assert repeated.exit_code == 0, repeated.output
    assert "This run repeats" in " ".join(repeated.output.split())
