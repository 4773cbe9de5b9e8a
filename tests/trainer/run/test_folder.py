from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.errors import RunError
from trainer.run.folder import MissingStep, RunFolder, read_json, write_bytes, write_csv, write_json


def test_a_missing_file_names_the_verb_that_writes_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(MissingStep, match=r"thresholds\.json.*demur calibrate"):
        run.need(run.thresholds, "demur calibrate")


def test_json_takes_arrays_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "values.json"
    write_json(path, {"b": np.array([1.5, 2.5]), "a": None})
    assert read_json(path) == {"b": [1.5, 2.5], "a": None}
    assert list(read_json(path)) == ["b", "a"]


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(RunError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_csv_writes_six_digits_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ["name", "value"], [["a", 1 / 3], ["b", None]])
    assert path.read_text().splitlines() == ["name,value", "a,0.333333", "b,"]
