"""Scenes on disk, and back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from trainer.scenes import SceneOptions, render, write_folder


def test_a_folder_holds_every_image_and_its_row(tmp_path: Path) -> None:
    frames = render(SceneOptions(sequences=4, frames=2, seed=1, size=64), processes=1)
    told: list[int] = []
    assert write_folder(frames, tmp_path / "scenes", on_progress=told.append) == 8
    assert told == list(range(1, 9))
    with (tmp_path / "scenes" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row, frame in zip(rows, frames, strict=True):
        assert (tmp_path / "scenes" / row["file_name"]).read_bytes() == frame.jpeg
        assert (row["label"], row["group"], row["frame"]) == (str(frame.label), frame.group, str(frame.frame))
        assert row["weather"] == frame.metadata["weather"]
        assert "objects" not in row
    with (tmp_path / "scenes" / "objects.csv").open(newline="", encoding="utf-8") as file:
        objects = list(csv.DictReader(file))
    assert [row["objects"] for row in objects] == [";".join(frame.objects) for frame in frames]


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    frames = render(SceneOptions(sequences=1, size=64), processes=1)
    write_folder(frames, tmp_path)
    with pytest.raises(FileExistsError, match=r"metadata\.csv"):
        write_folder(frames, tmp_path)
