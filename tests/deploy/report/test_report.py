"""The report of a promotion: what its first lines say, and that nothing in a record breaks the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.promotion_story import BEGAN, FLEET, NEWCOMER, latency, written_story
from hypothesis import given
from hypothesis import strategies as st

from bundle.registry.keys import promotion
from deploy.errors import NotReported
from deploy.report import writing
from deploy.report.page import page_of
from deploy.report.story import Result, Story, story_of
from deploy.report.writing import report_files, write_report


def read(folder: Path, end: str = "rolled-back") -> str:
    registry, ended = written_story(folder, end=end)
    return report_files(story_of(registry.fleet(FLEET), ended))["report.md"].decode()


def test_a_rollback_says_first_what_serves_and_why(tmp_path: Path) -> None:
    title, decision, *_ = read(tmp_path).split("\n\n")
    assert title == "# Promotion 20270115-080000-ab12cd: rolled back"
    assert f"`{NEWCOMER.label}` was not promoted" in decision
    assert "`scenes:aaaaaaaaaaaaaaaa` serves as before" in decision
    assert "guardrail risk has failed" in decision


def test_a_promotion_says_first_what_serves_instead(tmp_path: Path) -> None:
    title, decision, *_ = read(tmp_path, "promoted").split("\n\n")
    assert title.endswith(": promoted")
    assert f"`{NEWCOMER.label}` is the champion of fleet scenes in the place of" in decision


def test_every_step_and_every_gate_is_there(tmp_path: Path) -> None:
    page = read(tmp_path)
    for line in (
        "| 2027-01-15 08:40:00 | canary 25 % | 25 % of the units | 35m30s | 6 |",
        "| canary 25 % | `guardrail risk` | **failed** | 0.08 | 0.05 | risk differs by 8.0% |",
        "- `signature`: No signature is required",
        "| asked for | 2027-01-15 08:00:00 by tests: a newer backbone |",
    ):
        assert line in page
    assert page.index("![The course") < page.index("## Gates")


def test_the_report_lies_in_the_registry_and_in_a_folder(tmp_path: Path) -> None:
    registry, ended = written_story(tmp_path)
    address = write_report(registry, FLEET, ended, tmp_path / "here")
    names = {"report.md", "course.png", "latency.png", "gates.json"}
    assert {path.name for path in (tmp_path / "here").iterdir()} == names
    prefix = promotion(FLEET, "20270115-080000-ab12cd")
    assert set(registry.location.names(prefix)) == names
    assert address.endswith(f"/{prefix}/report.md")
    assert registry.location.read(f"{prefix}/course.png", 2**20).startswith(b"\x89PNG")
    kept = json.loads(registry.location.read(f"{prefix}/gates.json", 2**20))
    assert kept["promotion"]["results"][0]["gate"] == "verification"
    assert write_report(registry, FLEET, ended) == address


def test_without_matplotlib_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "remedy_of", lambda module: "install demur with the extra [data]")
    registry, ended = written_story(tmp_path)
    files = report_files(story_of(registry.fleet(FLEET), ended))
    assert set(files) == {"report.md", "gates.json"}
    assert "This report has no pictures: matplotlib is not here; install demur" in files["report.md"].decode()


def test_a_promotion_that_ended_at_its_gates_is_told(tmp_path: Path) -> None:
    registry, ended = written_story(tmp_path, results=(), why="gates: verification has failed")
    assert (
        "verification has failed"
        in report_files(story_of(registry.fleet(FLEET), ended))["report.md"].decode()
    )


def test_a_record_without_a_promotion_has_no_report(tmp_path: Path) -> None:
    registry, _ = written_story(tmp_path)
    first = registry.fleet(FLEET).at(BEGAN - 1.0)
    assert first is not None
    with pytest.raises(NotReported, match="demur registry history scenes"):
        write_report(registry, FLEET, first)


def test_what_a_record_of_another_version_lacks_is_left_empty(tmp_path: Path) -> None:
    registry, ended = written_story(
        tmp_path, results=({"gate": 3, "at": "noon", "details": []}, {}), plan={"gates": {"luck": True}}
    )
    page = report_files(story_of(registry.fleet(FLEET), ended))["report.md"].decode()
    assert "Left out" not in page


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    registry, ended = written_story(tmp_path_factory.mktemp("story"))
    return story_of(registry.fleet(FLEET), ended)


@given(st.text(max_size=2000), st.one_of(st.none(), st.floats(), st.text(max_size=50)))
def test_no_text_breaks_the_table(story: Story, text: str, figure: float | str | None) -> None:
    result = Result(BEGAN, "gates", 0, "golden", "failed", text, figure, None, {})
    page = page_of(replace(story, results=(result,)), [], None)
    (row,) = [line for line in page.splitlines() if "`golden`" in line]
    assert row.replace("\\|", "").count("|") == 7
    assert "<" not in row


def test_a_picture_is_drawn_of_any_figure(story: Story) -> None:
    wild = [
        Result(BEGAN, "canary", 0, "guardrail risk", outcome, "", figure, limit, {"low": low, "high": 7.0})
        for outcome, figure, limit, low in (
            ("inconclusive", 0.5, 0.05, None),
            ("strange", float("nan"), None, float("-inf")),
            ("failed", 3.0, "no limit", 1.0),
        )
    ]
    speed = latency()
    slow = Result(BEGAN, "gates", 0, "latency", "passed", "", 1.0, 1.5, {**speed.details, "measured": []})
    for results in ((), tuple(wild), (slow,)):
        files = report_files(replace(story, results=results, course=story.course[:1]))
        assert files["course.png"].startswith(b"\x89PNG")
