"""`--dry-run` says what a run could prove, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.channel_models import RED, channel_images, channel_model
from typer.testing import CliRunner

from demur.cli import app


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with 120 photographs in folders of their class."""
    images = channel_images(120)
    for row in range(len(images)):
        folder = tmp_path / "photos" / images.class_names[images.labels[row]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.png").write_bytes(images.read(row))
    channel_model(tmp_path / "red.onnx", RED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = {
    "train": ["train", "--data", "photos"],
    "wrap": [
        *("wrap", "--model", "red.onnx", "--normalisation", "zero-one"),
        *("--class-names", "calm,busy", "--data", "photos"),
    ],
}


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("out", [[], ["--out", "runs/first"]])
def test_a_dry_run_leaves_nothing_behind(
    photos: Path, ledger_of_test: Path, verb: str, out: list[str]
) -> None:
    before = sorted(path for path in photos.rglob("*"))
    result = CliRunner().invoke(app, [*COMMANDS[verb], *out, "--dry-run"], env={"COLUMNS": "2000"})
    assert result.exit_code == 0, result.output
    assert "299 calibration images answered without an error are the least" in result.output
    assert "more labelled images in all" in result.output
    assert "Nothing was trained or written, and no delta was charged." in result.output
    assert sorted(path for path in photos.rglob("*")) == before
    assert [path.name for path in ledger_of_test.iterdir()] in ([], [".lock"])


def test_the_plan_of_a_training_as_json(photos: Path) -> None:
    arguments = [*COMMANDS["train"], "--alpha", "0.1", "--minutes", "2", "--dry-run", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert plan["data"]["images"] == 120
    assert plan["data"]["classes"] == ["busy", "calm"]
    assert sum(split["images"] for split in plan["data"]["splits"].values()) == 120
    assert plan["reach"]["possible"]
    assert plan["reach"]["parts"][0]["fewest"] == 29
    assert [stage["name"] for stage in plan["stages"]] == ["A", "B"]
    assert plan["minutes"] == 2


def test_the_plan_holds_the_questions_about_groups(photos: Path) -> None:
    for number, path in enumerate(sorted((photos / "photos").rglob("*.png"))):
        path.rename(path.with_name(f"owner{number % 24}_{number}.png"))
    asked = json.loads(CliRunner().invoke(app, [*COMMANDS["wrap"], "--dry-run", "--json"]).stdout)["data"]
    assert [(one["column"], one["values"]) for one in asked["questions"]] == [("file_prefix", 24)]
    assert any("--group none" in notice for notice in asked["notices"])
    arguments = [*COMMANDS["wrap"], "--group", "file_prefix", "--dry-run", "--json"]
    answered = json.loads(CliRunner().invoke(app, arguments).stdout)["data"]
    assert (answered["questions"], answered["group"]) == ([], "file_prefix")


def test_the_plan_of_a_wrapped_model_trains_nothing(photos: Path) -> None:
    result = CliRunner().invoke(app, [*COMMANDS["wrap"], "--dry-run", "--json"])
    plan = json.loads(result.stdout)
    assert plan["minutes"] is None
    assert plan["stages"] == []
    assert plan["data"]["splits"]["val_calib"]["images"] == 89


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_run_needs_a_folder(photos: Path, verb: str) -> None:
    result = CliRunner().invoke(app, COMMANDS[verb])
    assert result.exit_code == 2
    assert "--out" in result.output
