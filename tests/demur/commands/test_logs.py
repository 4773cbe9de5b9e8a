"""`demur logs`: which lines are shown, in which words, while files change, and to a reader that goes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.command_line import Demur
from fakes.terminal import Terminal

from demur.commands.logs import LogChoice, since
from demur.commands.logs_files import LogReader
from demur.commands.logs_text import LogText
from service.logs.file import older

DEMUR = Path(sys.executable).with_name("demur")
BUNDLE = "roads:0123456789abcdef"
AT = "2026-11-30T23:10:11.250311Z"


def line(event: str = "request", **members: Any) -> dict[str, Any]:
    return {"event": event, "level": "info", "timestamp": AT, **members}


def request(request_id: str = "a", **members: Any) -> dict[str, Any]:
    facts = {"method": "POST", "path": "/predict", "status": 200, "duration_ms": 14.31}
    decided = {"stage": "A", "decision": "answer", "reason": None, "audit": False}
    return line(request_id=request_id, bundle=BUNDLE, **facts, **decided, **members)


def batch(*ids: str) -> dict[str, Any]:
    images = [{"request_id": own, "stage": "B", "decision": "abstain", "reason": "ambiguous"} for own in ids]
    return line(request_id="b", status=200, method="POST", path="/predict/batch", images=images)


class TestWords:
    words = staticmethod(LogText().of)

    def test_a_prediction(self) -> None:
        said = self.words(request(unit="camera-7", timing_ms={"decode": 2.9, "total": 12.5}))
        assert said == (
            "2026-11-30 23:10:11.250 info    POST /predict 200 in 14.31 ms: answer by A "
            f"(request id a, bundle {BUNDLE}, unit camera-7, timing ms decode 2.9 + total 12.5)"
        )

    def test_images_of_a_batch_and_refused_ones(self) -> None:
        given = batch("b.0")
        given["images"].append({"request_id": "b.1", "problem": "not-an-image"})
        assert "in None ms: abstain by B, ambiguous, refused, not-an-image" in self.words(given)

    def test_another_event_and_its_exception(self) -> None:
        failed = line(
            "request_failed", level="error", path="/x", exception="Traceback:\n  File\nE: no\x1b[2J"
        )
        assert self.words(failed) == (
            "2026-11-30 23:10:11.250 error   request failed (path /x)\n"
            "    Traceback:\n      File\n    E: no\\x1b[2J"
        )

    @pytest.mark.parametrize(
        "odd",
        [
            {"event": ""},
            {"event": "request", "status": None, "images": 3},
            {"event": "request", "status": 200, "images": [1, {"decision": None}]},
            {"event": "x", "level": None, "timestamp": 12},
            {"event": "x", "level": "\x1b[2J", "timestamp": "\x1b[2J", "path": "\r\n"},
        ],
    )
    def test_odd_members_neither_fail_nor_move_the_cursor(self, odd: dict[str, Any]) -> None:
        assert self.words(odd).isprintable()

    def test_colours_are_of_the_level(self) -> None:
        assert "\x1b[31merror" in LogText(colour=True).of(line("worker_died", level="error"))
        assert "\x1b" not in self.words(line("worker_died", level="error"))


class TestChoice:
    @pytest.mark.parametrize(
        ("choice", "shown"),
        [
            (LogChoice(), "acdeb"),
            (LogChoice(level="warning"), "de"),
            (LogChoice(level="error"), "e"),
            (LogChoice(event="request"), "ab"),
            (LogChoice(event="drift"), "d"),
            (LogChoice(bundle="roads"), "ad"),
            (LogChoice(bundle=BUNDLE), "ad"),
            (LogChoice(bundle="road"), ""),
            (LogChoice(unit="camera-7"), "a"),
            (LogChoice(trace="4bf9"), "a"),
            (LogChoice(request_id="a"), "a"),
            (LogChoice(request_id="b"), "eb"),
            (LogChoice(request_id="b.1"), "eb"),
            (LogChoice(request_id="b.9"), ""),
            (LogChoice(level="warning", bundle="roads"), "d"),
        ],
    )
    def test_every_condition_must_hold(self, choice: LogChoice, shown: str) -> None:
        lines = {
            "a": request("a", unit="camera-7", trace_id="4bf9"),
            "c": line("service_started", bundle=f"other:{BUNDLE}"),
            "d": line("drift", level="warning", bundle=BUNDLE),
            "e": line("shadow_failed", level="error", request_id="b.1"),
            "b": batch("b.0", "b.1"),
        }
        assert "".join(name for name, given in lines.items() if choice.takes(given)) == shown

    def test_since(self) -> None:
        at = datetime.fromisoformat(AT)
        assert LogChoice(since=at.timestamp()).takes(line())
        assert not LogChoice(since=(at + timedelta(seconds=1)).timestamp()).takes(line())
        assert LogChoice(since=0.0).takes({"event": "without a time"})

    def test_durations_and_times(self) -> None:
        for text, seconds in (("90s", 90), ("10m", 600), (" 1.5 h", 5400), ("2d", 172_800)):
            given = since(text)
            assert given is not None
            assert time.time() - seconds - 5 < given <= time.time() - seconds + 5
        assert since("2026-03-01T12:00") == datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
        assert since(None) is None


class Log:
    """A log that a service writes and sets aside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *texts: str, end: str = "\n") -> None:
        with self.path.open("a") as file:
            file.write("\n".join(texts) + end)

    def set_aside(self) -> None:
        for number in range(5, 0, -1):
            if older(self.path, number).exists():
                older(self.path, number).rename(older(self.path, number + 1))
        self.path.rename(older(self.path, 1))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "service.jsonl")


@pytest.fixture
def reader(log: Log) -> Iterator[LogReader]:
    """Reads a log of one line, `one`."""
    log.write("one")
    with LogReader(log.path) as opened:
        yield opened


class TestReader:
    def test_all_files_from_the_oldest_on(self, log: Log, reader: LogReader) -> None:
        for text in ("two", "three", "four"):
            log.set_aside()
            log.write(text)
        log.write("five", end="")
        assert list(reader.lines()) == [b"one", b"two", b"three", b"four", b"five"]

    def test_it_follows_while_files_are_set_aside(self, log: Log, reader: LogReader) -> None:
        assert list(reader.lines(complete=True)) == [b"one"]
        log.write("two")
        log.set_aside()
        log.write("three")
        log.set_aside()
        assert list(reader.lines(complete=True)) == [b"two", b"three"]
        assert list(reader.lines(complete=True)) == []
        log.write("four")
        assert list(reader.lines(complete=True)) == [b"four"]

    def test_a_file_set_aside_while_files_are_opened_is_read_once(self, log: Log, reader: LogReader) -> None:
        log.set_aside()
        log.write("two")
        opened = reader._opened()
        next(opened)
        log.set_aside()
        log.write("three")
        assert [file.read() for _, file in opened] == [b"one\n"]

    def test_a_line_waits_for_its_end(self, log: Log, reader: LogReader) -> None:
        log.write("tw", end="")
        assert list(reader.lines(complete=True)) == [b"one"]
        log.write("o")
        assert list(reader.lines(complete=True)) == [b"two"]

    def test_a_file_that_is_moved_or_emptied_begins_anew(
        self, log: Log, reader: LogReader, tmp_path: Path
    ) -> None:
        log.set_aside()
        log.write("two")
        assert list(reader.lines(complete=True)) == [b"one", b"two"]
        log.path.rename(tmp_path / "moved")
        assert list(reader.lines(complete=True)) == []
        log.write("three")
        assert list(reader.lines(complete=True)) == [b"three"]
        log.path.write_bytes(b"")
        assert list(reader.lines(complete=True)) == []
        log.write("4")
        assert list(reader.lines(complete=True)) == [b"4"]


class TestVerb:
    @pytest.fixture
    def written(self, log: Log) -> Log:
        log.write("Traceback (most recent call last):", json.dumps(request("a")))
        log.set_aside()
        log.write(json.dumps(line("worker_died", level="error", timestamp="2026-12-01T00:00:00Z")))
        log.write('{"no": "event"}', "[1", "caf\xe9 \x1b[1mbold\x1b[0m")
        return log

    def test_files_of_the_settings_and_of_an_argument(
        self, demur: Demur, written: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown = demur("logs", "--data-dir", written.path.parent)
        assert shown.code == 0
        assert [text[:20] for text in shown.out.splitlines()] == [
            "Traceback (most rece",
            "2026-11-30 23:10:11.",
            "2026-12-01 00:00:00.",
            '{"no": "event"}',
            "[1",
            "caf\xe9 \x1b[1mbold\x1b[0m",
        ]
        monkeypatch.setenv("DEMUR_LOG_FILE", str(written.path))
        assert demur("logs").out == shown.out
        assert demur("logs", written.path).out == shown.out

    def test_last_lines_and_json(self, demur: Demur, written: Log) -> None:
        assert demur("logs", written.path, "-n", "1").out.startswith("caf\xe9")
        shown = demur("logs", written.path, "--json", "--lines", "1").out
        assert json.loads(shown)["event"] == "worker_died"
        assert demur("logs", written.path, "-n", "0").out == ""

    def test_lines_that_are_no_json_belong_to_no_event_and_to_no_time_before_them(
        self, demur: Demur, written: Log
    ) -> None:
        assert "Traceback" in demur("logs", written.path, "--level", "error").out
        assert demur("logs", written.path, "--event", "request").out.count("\n") == 1
        later = demur("logs", written.path, "--since", "2026-12-01").out
        assert "Traceback" not in later
        assert later.splitlines()[-1].startswith("caf\xe9")

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("nowhere.jsonl",), "there is no log at nowhere.jsonl"),
            ((".",), "is a directory"),
            (("-", "--since", "soon"), "since is 'soon'; it must be a date"),
        ],
    )
    def test_what_cannot_be_done_is_one_sentence(
        self, demur: Demur, words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ended = demur("logs", *words)
        assert ended.code == 2
        assert says in ended.err
        assert ended.err.count("\n") == 1


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([DEMUR, "logs", *words], capture_output=True, check=False, timeout=300, **options)


def test_standard_input() -> None:
    done = run("-", "--event", "drift", input=b'no json\n{"event": "drift"}\n\xff\n{"event": "request"}')
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1


def test_bytes_that_are_no_text_are_shown() -> None:
    assert run("-", input=b"\xff\n").stdout == b"\\xff\n"


def test_a_reader_that_goes_ends_it_quietly(log: Log) -> None:
    log.write(*(json.dumps(request(f"r{number}")) for number in range(5000)))
    with subprocess.Popen(
        [DEMUR, "logs", log.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(300) == 1


def test_following_on_a_terminal_in_colour(log: Log, tmp_path: Path) -> None:
    log.write(json.dumps(request("first")))
    with Terminal(DEMUR, "logs", log.path, "-f", folder=tmp_path, columns=300) as terminal:
        terminal.read_until("request id first")
        log.set_aside()
        log.write(json.dumps(line("worker_died", level="error")))
        terminal.read_until("worker died")
        assert b"\x1b[31merror" in terminal._shown
        assert terminal.interrupt() == 130
        assert "Traceback" not in terminal.shown
