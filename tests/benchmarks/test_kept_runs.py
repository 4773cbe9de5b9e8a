"""Runs that a long benchmark keeps from one invocation to the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.kept_runs import RUNS, KeptRun, keep_runs, kept_runs, newest
from harness.record import FOLDER, RecordError


def run(row: str, seed: int, date: str = "2026-01-01") -> KeptRun:
    return KeptRun(row, seed, date, ("1 min", "none"), {"certified": 0.5})


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    assert kept_runs(tmp_path, "hours") == []
    keep_runs(tmp_path, "hours", [run("a", 0), run("b", 1)])
    assert kept_runs(tmp_path, "hours") == [run("a", 0), run("b", 1)]


def test_a_later_run_takes_the_place_of_an_older_one() -> None:
    older = [run("b", 1), run("a", 0), run("gone", 0)]
    later = [run("b", 0, "2026-02-01"), run("b", 1, "2026-02-01")]
    assert newest(older, later, ["a", "b"]) == [
        run("a", 0),
        run("b", 0, "2026-02-01"),
        run("b", 1, "2026-02-01"),
    ]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"row": "a"}]'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    keep_runs(tmp_path, "hours", [])
    (tmp_path / RUNS / "hours.json").write_text(text)
    with pytest.raises(RecordError, match=r"hours\.json"):
        kept_runs(tmp_path, "hours")


def test_the_runs_of_the_project_can_be_read() -> None:
    names = [path.stem for path in (FOLDER / RUNS).glob("*.json")]
    assert "first-hour" in names
    assert all(kept_runs(FOLDER, name) for name in names)
