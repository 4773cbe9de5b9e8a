"""The event log on disk: written events are read back, also after a crash or on a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitoring.delivery.event_lines import UnreadableLine, event_of, line_of
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.delivery.segments import START, Position
from monitoring.events import Event, FeedbackEvent, PredictionEvent

BOUNDS = LogBounds()


def event(number: int) -> Event:
    if number % 3 == 2:
        return FeedbackEvent(f"r{number - 1}", number % 2, 1e9 + number)
    return PredictionEvent(
        f"r{number}", "b:1", 1, None if number % 2 else 1, "A", 1.5, 0.25, 1e9 + number, audit=number % 5 == 0
    )


def events(start: int, stop: int) -> list[Event]:
    return [event(number) for number in range(start, stop)]


def all_of(log: EventLog, after: Position = START, most: int = 7) -> list[Event]:
    found: list[Event] = []
    while (excerpt := log.read(after, most)).after > after:
        found += excerpt.events
        after = excerpt.after
    return found


def segments(parent: Path) -> list[Path]:
    return sorted(parent.glob("writer-0/*.jsonl"))


_TEXT = st.text(max_size=30)
_TIMES = st.floats(0, 4e9, allow_nan=False)
_EVENTS = st.one_of(
    st.builds(FeedbackEvent, _TEXT, st.integers(0, 9), _TIMES, st.none() | _TEXT),
    st.builds(
        PredictionEvent,
        _TEXT,
        _TEXT,
        st.integers(0, 9),
        st.none() | st.integers(0, 9),
        _TEXT,
        st.floats(0, 1),
        st.floats(0, 1),
        _TIMES,
        st.none() | _TEXT,
        st.booleans(),
        st.none() | _TEXT,
        st.none() | st.floats(0, 1),
        st.none() | st.floats(0, 1),
        _TEXT,
        st.none() | st.floats(0, 1),
        st.none() | _TEXT,
        st.none() | _TEXT,
        st.none() | st.integers(0, 9),
        st.none() | _TEXT,
    ),
)


@given(written=_EVENTS)
def test_an_event_is_one_line_and_comes_back(written: Event) -> None:
    line = line_of(written)
    assert line.count(b"\n") == 1
    assert event_of(line) == written


def test_a_line_of_an_earlier_version_is_read() -> None:
    content = orjson.loads(line_of(event(0)))
    for added_later in ("reason", "draw", "audit_probability", "part", "seconds"):
        del content[added_later]
    assert event_of(orjson.dumps(content)) == event(0)
    label = orjson.loads(line_of(event(2)))
    del label["source"]
    assert event_of(orjson.dumps(label)) == event(2)


def test_a_line_holds_an_experiment_only_while_one_runs() -> None:
    plain = event(0)
    assert b"experiment" not in line_of(plain)
    dealt = replace(plain, experiment="ramp", arm="control", stratum=2)
    assert event_of(line_of(dealt)) == dealt
    # A text of a client that looks like the fields that are left out.
    odd = replace(plain, unit_id='a","experiment":null,"arm":null,"stratum":null,"dealt":null')
    assert event_of(line_of(odd)) == odd


def test_a_line_of_a_later_version_is_read() -> None:
    content = {**orjson.loads(line_of(event(0))), "weather": "rain"}
    assert event_of(orjson.dumps(content)) == event(0)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b'{"event": "dream"}', b'{"event": "feedback"}', b"\0" * 9]
)
def test_lines_that_are_no_event(line: bytes) -> None:
    with pytest.raises(UnreadableLine):
        event_of(line)


def test_events_of_a_kind_that_a_later_version_has_added_are_left_out_and_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "writer-0"
    folder.mkdir()
    line = b'{"event":"explanation","request_id":"r1","at":1.0}\n'
    (folder / "000000000001.jsonl").write_bytes(line_of(event(0)) + 50 * line + line_of(event(1)))
    log = EventLog.claim(tmp_path, BOUNDS)
    with capture_logs() as said:
        assert all_of(log) == [event(0), event(1)]
    assert [one["event"] for one in said] == ["event_of_a_later_version"]
    assert said[0]["why"] == "an event of the kind 'explanation', which a later version of demur has written"
    log.close()


def test_events_are_read_back_in_order_after_a_restart(tmp_path: Path) -> None:
    for start in (0, 50, 100):
        log = EventLog.claim(tmp_path, BOUNDS)
        log.append(events(start, start + 30))
        log.append(events(start + 30, start + 50))
        assert all_of(log) == events(0, start + 50)
        assert log.count(START) == start + 50
        name = log.name
        log.close()
    assert len(segments(tmp_path)) == 3
    log = EventLog.claim(tmp_path, BOUNDS)
    assert log.name == name
    middle = log.read(START, 70).after
    assert all_of(log, middle) == events(70, 150)
    assert log.count(middle) == 80
    assert Position.read(str(middle)) == middle
    assert log.read(log.end, 10).events == []
    log.close()


@given(st.data())
def test_events_from_memory_are_those_of_the_segment(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    parent = tmp_path_factory.mktemp("logs")
    written, at = 0, START
    found: list[Event] = []
    with closing(EventLog.claim(parent, BOUNDS)) as log:
        for _ in range(data.draw(st.integers(1, 6))):
            more = data.draw(st.integers(0, 9))
            log.append(events(written, written + more))
            written += more
            excerpt = log.read(at, data.draw(st.integers(1, 9)))
            found += excerpt.events
            at = excerpt.after
        assert found + all_of(log, at) == events(0, written)
        assert all_of(log) == events(0, written)  # also from the start again, when memory holds none


def test_events_are_read_from_the_segment_if_memory_does_not_hold_them(tmp_path: Path) -> None:
    log = EventLog.claim(tmp_path, BOUNDS)
    log.append(events(0, 5000))
    assert all_of(log, most=256) == events(0, 5000)
    log.append(events(5000, 5010))
    assert all_of(log, most=256) == events(0, 5010)
    log.close()


def test_each_writer_has_a_log_and_takes_over_that_of_a_dead_one(tmp_path: Path) -> None:
    first, second = EventLog.claim(tmp_path, BOUNDS), EventLog.claim(tmp_path, BOUNDS)
    first.append(events(0, 3))
    assert first.name != second.name
    assert list(EventLog.unclaimed(tmp_path, BOUNDS)) == []
    first.close()
    assert [log.name for log in EventLog.unclaimed(tmp_path, BOUNDS)] == [first.name]
    again = EventLog.claim(tmp_path, BOUNDS)
    assert (again.name, all_of(again)) == (first.name, events(0, 3))
    second.close()
    again.close()


@pytest.mark.parametrize("tail", [b'{"event":"predic', b"\0" * 5000, b"{}\n{}\nxx", b"x" * (3 * 2**18)])
def test_a_torn_tail_costs_no_other_event(tmp_path: Path, tail: bytes) -> None:
    log = EventLog.claim(tmp_path, BOUNDS)
    log.append(events(0, 10))
    log.close()
    with segments(tmp_path)[0].open("ab") as torn:
        torn.write(tail)
    log = EventLog.claim(tmp_path, BOUNDS)
    assert all_of(log) == events(0, 10)
    log.append(events(10, 20))
    assert all_of(log) == events(0, 20)
    log.close()


def test_a_process_killed_while_it_writes_leaves_whole_events(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from monitoring.delivery.event_log import EventLog, LogBounds\n"
        "from monitoring.events import FeedbackEvent\n"
        "log = EventLog.claim(Path(sys.argv[1]), LogBounds())\n"
        "for number in range(10**9):\n"
        "    log.append([FeedbackEvent(f'r{number}', 1, 1.0)] * 3)\n"
        "    if number == 200:\n"
        "        print('many', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "many\n"
        writer.kill()
    log = EventLog.claim(tmp_path, BOUNDS)
    ids = [found.request_id for found in all_of(log, most=1000)]
    assert len(ids) > 600
    assert ids == [f"r{number // 3}" for number in range(len(ids))]
    log.close()


@pytest.mark.parametrize("content", [b"", b"\x00" * 33, b"\xff\xfe", b"torn\n"])
def test_a_damaged_name_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "writer-0").mkdir()
    (tmp_path / "writer-0" / "name").write_bytes(content)
    log = EventLog.claim(tmp_path, BOUNDS)
    assert len(log.name) == 32
    assert (tmp_path / "writer-0" / "name").read_text().strip() == log.name
    log.close()


def test_segments_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    bounds = LogBounds(most_bytes=80_000)
    log = EventLog.claim(tmp_path, bounds)
    lost: list[Event] = []
    for start in range(0, 2000, 10):
        log.append(events(start, start + 10))
        log.prune(log.end, lost.append)
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 90_000
    assert max(path.stat().st_size for path in segments(tmp_path)) < bounds.segment_bytes + 4096
    kept = all_of(log)
    assert 200 < len(kept) < 1000
    assert kept == events(2000 - len(kept), 2000)
    # Every event had been delivered.
    assert lost == []
    log.close()


def test_events_that_must_go_before_they_are_delivered_are_counted(tmp_path: Path) -> None:
    bounds = LogBounds(most_bytes=20_000)
    log = EventLog.claim(tmp_path, bounds)
    for start in range(0, 600, 10):
        log.append(events(start, start + 10))
    delivered = log.read(START, 25).after
    lost: list[Event] = []
    log.prune(delivered, lost.append)
    kept = all_of(log)
    assert lost == events(25, 600 - len(kept))
    assert kept == events(600 - len(kept), 600)
    log.close()


def test_old_segments_go(tmp_path: Path) -> None:
    log = EventLog.claim(tmp_path, LogBounds(longest=3600))
    log.append(events(0, 10))
    log.close()
    (old,) = segments(tmp_path)
    os.utime(old, (time.time() - 7200,) * 2)
    log = EventLog.claim(tmp_path, LogBounds(longest=3600))
    log.prune(log.end, lambda event: None)
    assert segments(tmp_path) == []
    log.append(events(10, 20))
    assert all_of(log) == events(10, 20)
    log.close()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog.claim(tmp_path, BOUNDS)
    log.append(events(0, 10))

    def short(file: int, content: Sequence[int], write: Callable[..., int] = os.write) -> int:
        if len(content) < 700:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content[:600])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", short)
        with pytest.raises(OSError, match="No space"):
            log.append(events(10, 20))
    assert all_of(log) == events(0, 10)
    log.append(events(20, 30))
    assert all_of(log) == events(0, 10) + events(20, 30)
    assert len(segments(tmp_path)) == 1
    log.close()


def test_a_small_file_system_that_is_really_full(tmp_path: Path) -> None:
    """The system's limit on the size of a file stands in for a full disk."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from monitoring.delivery.event_log import EventLog, LogBounds\n"
        "from monitoring.delivery.segments import START\n"
        "from monitoring.events import FeedbackEvent\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "log = EventLog.claim(Path(sys.argv[1]), LogBounds())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 10**6))\n"
        "written = 0\n"
        "try:\n"
        "    while True:\n"
        "        log.append([FeedbackEvent(f'r{written}', 1, 1.0)])\n"
        "        written += 1\n"
        "except OSError:\n"
        "    pass\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))\n"
        "log.append([FeedbackEvent('after', 1, 1.0)])\n"
        "ids = [event.request_id for event in log.read(START, 10**6).events]\n"
        "assert ids == [f'r{number}' for number in range(written)] + ['after'], ids\n"
        "assert written > 5\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], check=True)


def test_a_position_in_a_removed_segment_continues_with_the_next(tmp_path: Path) -> None:
    for start in (0, 10, 20):
        log = EventLog.claim(tmp_path, BOUNDS)
        log.append(events(start, start + 10))
        log.close()
    log = EventLog.claim(tmp_path, BOUNDS)
    within = log.read(START, 5).after
    segments(tmp_path)[0].unlink()
    assert all_of(log, within) == events(10, 30)
    assert all_of(log) == events(10, 30)
    log.close()
