"""Reading a log beside its writer."""

from __future__ import annotations

import os
from pathlib import Path

from monitoring.delivery.event_lines import line_of
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.delivery.log_reader import LogReader, log_folders
from monitoring.events import FeedbackEvent, PredictionEvent


def label(name: str) -> FeedbackEvent:
    return FeedbackEvent(name, 1, 1.0)


def names(reader: LogReader) -> list[str]:
    return [event.request_id for event in reader.events()]


def test_a_reader_goes_on_behind_what_it_has_read(tmp_path: Path) -> None:
    log = EventLog.claim(tmp_path, LogBounds())
    (folder,) = log_folders(tmp_path)
    reader = LogReader(folder)
    log.append([label("a"), label("b")])
    assert reader.count() == 2
    assert names(reader) == ["a", "b"]
    assert names(reader) == []
    log.append([label("c")])
    assert reader.count() == 1
    assert names(reader) == ["c"]
    log.close()


def test_a_line_that_is_being_written_is_read_later(tmp_path: Path) -> None:
    file = tmp_path / "000000000001.jsonl"
    whole = line_of(label("b"))
    file.write_bytes(line_of(label("a")) + whole[:10])
    reader = LogReader(tmp_path)
    assert names(reader) == ["a"]
    file.write_bytes(line_of(label("a")) + whole)
    assert names(reader) == ["b"]
    assert reader.unreadable == 0


def test_a_line_that_a_crash_has_torn_is_counted(tmp_path: Path) -> None:
    torn = line_of(label("b"))[:10]
    (tmp_path / "000000000001.jsonl").write_bytes(line_of(label("a")) + torn)
    reader = LogReader(tmp_path)
    assert names(reader) == ["a"]
    (tmp_path / "000000000002.jsonl").write_bytes(line_of(label("c")))
    assert names(reader) == ["c"]
    assert reader.unreadable == 1


def test_a_segment_that_is_removed_meanwhile_is_left_out(tmp_path: Path) -> None:
    for number, name in enumerate("abc", start=1):
        (tmp_path / f"{number:012d}.jsonl").write_bytes(line_of(label(name)))
    reader = LogReader(tmp_path)
    events = reader.events()
    assert next(events).request_id == "a"
    (tmp_path / "000000000002.jsonl").unlink()
    assert [event.request_id for event in events] == ["c"]


def test_a_reader_claims_nothing(tmp_path: Path) -> None:
    log = EventLog.claim(tmp_path, LogBounds())
    log.append([label("a")])
    log.close()
    names(LogReader(log_folders(tmp_path)[0]))
    again = EventLog.claim(tmp_path, LogBounds())
    assert again.folder == log.folder
    again.close()


def test_what_was_written_long_ago_is_left_out(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "middle", "new"), 1):
        path = tmp_path / f"{number:012d}.jsonl"
        path.write_bytes(line_of(PredictionEvent(name, "b:1", 1, 1, "A", 1.0, 0.9, 1e9)))
        os.utime(path, (1e9 + number, 1e9 + number))

    def read(since: float) -> list[str]:
        return [event.request_id for event in LogReader(tmp_path, since=since).events()]

    assert read(0.0) == read(1e9) == ["old", "middle", "new"]
    assert read(1e9 + 2) == ["middle", "new"]
    # The last segment may still grow.
    assert read(2e9) == ["new"]
    assert list(LogReader(tmp_path / "none", since=2e9).events()) == []
