"""Console of a run: its log file, plain progress without a terminal, and the seconds of each step."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from trainer.run import console as module
from trainer.run.console import RunConsole
from trainer.run.log import RunLog

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d \S.*|\d{4}-\S+   .*")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """`clock[0]` is the time that the console sees."""
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(clock: list[float], output: io.StringIO) -> RunConsole:
    return RunConsole(Console(file=output, width=120))


def test_the_log_holds_what_is_printed_with_the_time(console: RunConsole, tmp_path: Path) -> None:
    log = tmp_path / "run" / "run.log"
    console.note("before")
    with console.logged_to(log):
        console.heading("Data")
        console.note("40 images\nin two classes")
        console.warn("few images")
    console.note("after")
    lines = log.read_text().splitlines()
    assert [re.sub(r"^\S+ ", "", line) for line in lines] == [
        *("Data", "  40 images", "in two classes", "WARNING: few images")
    ]
    assert all(map(LINE.fullmatch, lines))


def test_a_later_run_is_appended(console: RunConsole, tmp_path: Path) -> None:
    for text in ("first", "second"):
        with console.logged_to(tmp_path / "run.log"):
            console.note(text)
    assert re.findall(r"first|second", (tmp_path / "run.log").read_text()) == ["first", "second"]


def test_an_error_ends_the_log_with_its_name(console: RunConsole, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), console.logged_to(tmp_path / "run.log"):
        raise KeyboardInterrupt
    assert "ended by KeyboardInterrupt" in (tmp_path / "run.log").read_text()


def test_progress_is_a_plain_line_a_minute(
    console: RunConsole, clock: list[float], output: io.StringIO, tmp_path: Path
) -> None:
    with console.logged_to(tmp_path / "run.log"), console.bar("Deciding", 1000) as bar:
        for _ in range(10):
            clock[0] += 20
            bar.advance(100)
    told = re.findall(r"Deciding: ([\d,]+) of 1,000 images, (\d+) s", (tmp_path / "run.log").read_text())
    assert told == [("300", "60"), ("600", "120"), ("900", "180"), ("1,000", "200")]
    assert "Deciding: 300 of 1,000 images, 60 s, about 140 s left" in output.getvalue()


def test_a_short_step_is_one_line(
    console: RunConsole, clock: list[float], output: io.StringIO, tmp_path: Path
) -> None:
    with console.logged_to(tmp_path / "run.log"), console.bar("Decoding", 4, "files") as bar:
        clock[0] += 5
        bar.advance(4)
    assert (tmp_path / "run.log").read_text().rstrip().endswith("Decoding: 4 of 4 files, 5 s")
    assert output.getvalue() == "  Decoding: 4 of 4 files, 5 s\n"


def test_no_control_characters_without_a_terminal(console: RunConsole, output: io.StringIO) -> None:
    console.heading("Data")
    with console.bar("Decoding", 4) as bar:
        bar.at(4, 4, "Decoding all")
    console.warn("few images")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", output.getvalue())


def test_a_detail_is_for_the_log_where_a_bar_moves(output: io.StringIO, tmp_path: Path) -> None:
    console = RunConsole(Console(file=output, width=120, force_terminal=True))
    with console.logged_to(tmp_path / "run.log"):
        console.detail("epoch 1")
    assert output.getvalue() == ""
    assert "epoch 1" in (tmp_path / "run.log").read_text()


def test_seconds_of_the_steps(console: RunConsole, clock: list[float]) -> None:
    for title, spent in (("Decoding", 3.0), ("Training", 7.0), ("Decoding", 2.0)):
        with console.bar(title, 1) as bar:
            clock[0] += spent
            bar.at(1, 1, f"{title}, epoch 1")
    assert console.step_seconds == {"Decoding": 5.0, "Training": 7.0}


@pytest.mark.parametrize("name", ["file/run.log", "/dev/full"])
def test_a_disk_that_takes_no_log_ends_no_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = RunLog(tmp_path / name)
    log.write("a line")
    log.write("another")
    log.close()
