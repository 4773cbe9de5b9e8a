"""Records of measurements, and the pages that are made from them."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from harness.figures import Measured, Subject, Target
from harness.pages import PAGE, make_pages
from harness.record import FOLDER, PAGES, Claim, Record, RecordError, Recording, command_line

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = {"plan-on-real-scores", "serving-time"}
"""Measurements that no single command repeats"""
RECORD = Record(
    name="decode",
    page="serving",
    title="From JPEG to tensor",
    about="What is measured.",
    claims=(Claim("speed", "12 ms", "at most 18 ms", True), Claim("size", "3 MB")),
    detail="| a |\n| --- |\n| b |",
    date="2026-11-23",
    machine="2 cores",
    command="python benchmarks/decode.py --runs 3",
)


def test_the_pages_are_what_the_records_say() -> None:
    """After a record is written `python benchmarks/pages.py` makes the pages; they are never edited."""
    for name, text in make_pages(FOLDER).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            f"run `python benchmarks/pages.py` ({name})"
        )
    assert sorted(path.name for path in FOLDER.glob("*.md")) == sorted(make_pages(FOLDER))


def test_every_record_has_its_raw_output() -> None:
    records = FOLDER / "records"
    assert {path.stem for path in records.glob("*.json")} == {path.stem for path in records.glob("*.txt")}
    assert {path.suffix for path in records.iterdir()} == {".json", ".txt"}


def test_a_name_belongs_to_one_page() -> None:
    names = [name for page in PAGES for name in PAGE[page].names]
    assert len(names) == len(set(names))


def test_every_measurement_is_written_by_something_that_is_named() -> None:
    """Names in the sources and in benchmarks/README.md are those that the pages have places for."""
    sources = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tests" / "statistics").glob("*.py")]
    saved = {
        name for path in sources for name in re.findall(r'recording\.save\(\s*"([a-z-]+)"', path.read_text())
    }
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    places = {name for page in PAGES for name in PAGE[page].names}
    assert saved <= places
    assert {name for name in places if not re.search(rf"\b{name}\b", readme)} == BY_HAND
    assert {path.stem for path in (FOLDER / "remarks").glob("*.md")} <= places


def test_a_remark_outlives_its_record(tmp_path: Path) -> None:
    RECORD.write(tmp_path, "raw output")
    (tmp_path / "remarks").mkdir()
    (tmp_path / "remarks" / "decode.md").write_text("What was learned.\n")
    assert f"{RECORD.detail}\n\nWhat was learned.\n" in make_pages(tmp_path)["serving.md"]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = RECORD.write(tmp_path, "raw output\n")
    assert Record.read(path) == RECORD
    assert path.with_suffix(".txt").read_text() == "raw output\n"


def test_a_page_shows_claims_command_and_table(tmp_path: Path) -> None:
    RECORD.write(tmp_path, "raw output")
    pages = make_pages(tmp_path)
    overview = [line for line in pages["README.md"].splitlines() if line.startswith("| s")]
    assert overview == [
        "| speed | at most 18 ms | 12 ms | met | 2026-11-23 | `decode.py` | "
        "[serving](serving.md#from-jpeg-to-tensor) |",
    ]  # a figure without a target is on its page alone
    assert "| size | - | 3 MB |  |" in pages["serving.md"]
    assert "`python benchmarks/decode.py --runs 3`<br>2026-11-23, 2 cores" in pages["serving.md"]
    assert RECORD.detail in pages["serving.md"]


def test_a_record_without_a_place_is_refused(tmp_path: Path) -> None:
    replace(RECORD, name="unheard-of").write(tmp_path, "raw output")
    with pytest.raises(RecordError, match=r"unheard-of has no place on the page 'serving'.*pages\.py"):
        make_pages(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("page", "elsewhere", "page is 'elsewhere', not one of promise"),
        ("name", "Two Words", "lower-case words with hyphens"),
        ("name", "other", "the name in it is 'other'"),
        ("date", "yesterday", "Invalid isoformat"),
        ("claims", [{"claim": "speed", "value": "12 ms", "met": True}], "both a target and `met`"),
        ("colour", "red", "unexpected keyword argument 'colour'"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, field: str, value: object, message: str) -> None:
    path = RECORD.write(tmp_path, "raw output")
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(RecordError, match=rf"decode\.json: .*{message}"):
        Record.read(path)


def test_the_command_leaves_out_where_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    script = str(Path(__file__).resolve().parents[2] / "benchmarks" / "decode.py")
    monkeypatch.delenv("DEMUR_DATA", raising=False)
    for given in (["--record", "--runs", "3"], ["--runs", "3", "--record", "x"], ["--out=x", "--runs", "3"]):
        monkeypatch.setattr(sys, "argv", [script, *given])
        assert command_line() == "python benchmarks/decode.py --runs 3"


def test_without_a_folder_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Recording.begin(None).save("decode", "serving", "t", about="", claims=[], detail="", raw="")
    assert list(tmp_path.iterdir()) == []


def test_targets_of_several_models_become_one_claim() -> None:
    measured, targets = Measured(), []
    for model, value, limit in (("tiny", 0.94, 0.97), ("small", 0.91, 0.9)):
        subject = Subject("one core", model, "demur", 8)
        measured.add(subject, efficiency=value)
        targets.append(Target(subject, "efficiency", "at least", limit))
    assert measured.claims(targets) == [
        Claim("CPU efficiency, one core, 8 clients: tiny, small", "0.940, 0.910", "at least 0.97, 0.9", False)
    ]
