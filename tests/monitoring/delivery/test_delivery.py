"""Delivery from the log to a real Valkey: no event is lost or counted twice, whichever side fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.recording_observer import RecordingObserver
from fakes.waiting import eventually
from redis import Redis

from monitoring.delivery.delivery_round import RecorderOptions
from monitoring.delivery.recorder import Recorder
from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.store.connection import connect
from monitoring.store.contract import StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows

BUNDLE = "b:1"


def history(count: int, seed: int = 0) -> list[Event]:
    """Predictions and most of their labels, some of them early, twice or corrected."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for number in range(count):
        at, name = 1e9 + number / 3, f"s{seed}-r{number}"
        guess, label = (int(value) for value in rng.integers(0, 2, 2))
        made = PredictionEvent(
            name, BUNDLE, guess, guess if rng.random() < 0.7 else None, "A", 1.0, float(guess), at
        )
        feedback = FeedbackEvent(name, label, at + float(rng.exponential(5)))
        events += [feedback, made] if rng.random() < 0.1 else [made, feedback]
        if rng.random() < 0.2:
            events.append(FeedbackEvent(name, 1 - label, feedback.at + 1))
    return events


def recorder(
    windows: RollingWindows, observer: RecordingObserver, logs: Path | None, **options: Any
) -> Recorder:
    given = {"interval": 0.002, "longest_pause": 0.05, "ping_every": 0.05, "adopt_every": 0.1, "batch": 32}
    started = Recorder(windows, observer, logs=logs, options=RecorderOptions(**{**given, **options}))
    started.start()
    return started


def figures(windows: RollingWindows) -> dict[str, Any]:
    return windows.snapshot(BUNDLE).to_dict()


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Any:
    client = connect(valkey.url)
    yield client
    client.close()


def forget(store: Redis, model: str) -> None:
    """Delete the keys of this model, as FLUSHALL would."""
    store.delete(*store.keys(f"demur:{{{model}}}:*"))


def test_a_store_that_forgets_everything_is_rebuilt(
    store: Redis, windows: RollingWindows, model: str, tmp_path: Path
) -> None:
    observer = RecordingObserver()
    running = recorder(windows, observer, tmp_path)
    for event in history(300):
        assert running.record(event)
    eventually(lambda: running.waiting == 0)
    before = figures(windows)
    assert before["labelled"] == 300
    forget(store, model)
    # Without a single new event.
    eventually(lambda: figures(windows) == before and not running.rebuilding)
    forget(store, model)
    for event in history(20, seed=1):
        running.record(event)
    eventually(lambda: running.waiting == 0 and figures(windows)["predictions"] == 320)
    assert running.close() == 0
    assert observer.lost == observer.unwritten == []


class LateStore(RollingWindows):
    """Applies every delivery, but the answers to some of them do not arrive in time."""

    late = 0
    deliveries = 0

    def apply_from_log(self, *delivery: Any) -> Any:
        outcomes = super().apply_from_log(*delivery)
        self.deliveries += 1
        if self.deliveries % 3 == 0:
            self.late += 1
            raise StoreUnavailable("no answer in time")
        return outcomes


def record_in_pieces(running: Recorder, events: list[Event]) -> None:
    """Record events in pieces with a delivery each, however slow the machine is."""
    for start in range(0, len(events), 12):
        for event in events[start : start + 12]:
            running.record(event)
        eventually(lambda: running.waiting == 0)


@pytest.mark.parametrize("batch", [4, 1000])
def test_a_store_that_answers_too_late_counts_each_event_once(
    store: Redis, model: str, tmp_path: Path, batch: int
) -> None:
    windows, observer = LateStore(store, model), RecordingObserver()
    running = recorder(windows, observer, tmp_path, batch=batch, deliver_every=0.0)
    events = history(100)
    record_in_pieces(running, events)
    assert running.close() == 0
    assert windows.late >= 2
    assert (windows.snapshot(BUNDLE).predictions, windows.snapshot(BUNDLE).labelled) == (100, 100)
    # Each event has exactly one outcome.
    assert (len(observer.outcomes), observer.lost, observer.unwritten) == (len(events), [], [])


def test_a_store_that_forgets_unconfirmed_events_is_rebuilt(store: Redis, model: str, tmp_path: Path) -> None:
    class Forgetful(LateStore):
        def apply_from_log(self, *delivery: Any) -> Any:
            try:
                return super().apply_from_log(*delivery)
            except StoreUnavailable:
                forget(store, model)
                raise

    windows, observer = Forgetful(store, model), RecordingObserver()
    running = recorder(windows, observer, tmp_path, deliver_every=0.0, batch=1000)
    record_in_pieces(running, history(100))
    eventually(lambda: running.waiting == 0 and windows.snapshot(BUNDLE).labelled == 100)
    assert windows.late >= 2
    assert running.close() == 0
    assert observer.lost == observer.unwritten == []


def test_two_workers_and_a_store_that_forgets(
    store: Redis, windows: RollingWindows, model: str, tmp_path: Path
) -> None:
    observer = RecordingObserver()
    workers = [recorder(windows, observer, tmp_path) for _ in range(2)]
    rng = np.random.default_rng(3)
    for event in history(400):
        # A label often arrives at another worker than its image.
        workers[int(rng.integers(2))].record(event)
    eventually(lambda: sum(worker.waiting for worker in workers) == 0)

    def counted() -> dict[str, Any]:
        # Which of two labels for one image arrives first may differ, and with it the lag.
        return {key: value for key, value in figures(windows).items() if key != "label_lag_seconds"}

    before = counted()
    assert (before["predictions"], before["labelled"]) == (400, 400)
    forget(store, model)
    eventually(lambda: counted() == before)
    assert [worker.close() for worker in workers] == [0, 0]
    assert len(list(tmp_path.glob("writer-*"))) == 2


def test_an_outage_longer_than_any_buffer(
    private_valkey: Callable[[], EmbeddedValkey], tmp_path: Path
) -> None:
    first = private_valkey()
    client = connect(first.url)
    windows, observer = RollingWindows(client, "m"), RecordingObserver()
    running = recorder(windows, observer, tmp_path / "events", capacity=50)
    events = history(300)
    for event in events[:40]:
        running.record(event)
    eventually(lambda: running.waiting == 0)
    first.close()
    for event in events[40:]:
        while not running.record(event):
            # More events than the buffer holds, but the disk takes them.
            observer.lost.pop()
            time.sleep(0.001)
    eventually(lambda: running.connected is False and running.waiting >= len(events) - 40)
    assert running.log_works is True
    private_valkey()
    eventually(lambda: running.waiting == 0 and running.connected is True)
    found = figures(windows)
    assert running.close() == 0
    client.close()
    # The same events without any failure.
    with EmbeddedValkey(tmp_path / "other") as other:
        calm = connect(other.url)
        RollingWindows(calm, "m").apply(events)
        assert figures(RollingWindows(calm, "m")) == found
        calm.close()


def test_a_store_that_is_killed_and_started_again(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as server:
        client = connect(server.url)
        windows, observer = RollingWindows(client, "m"), RecordingObserver()
        running = recorder(windows, observer, tmp_path / "events")
        events = history(600)
        for number, event in enumerate(events):
            running.record(event)
            if number in (300, 700):
                eventually(lambda: running.connected is True)
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
            time.sleep(0.0005)
        eventually(lambda: running.waiting == 0 and running.connected is True)
        assert running.close() == 0
        found = figures(windows)
        assert (found["predictions"], found["labelled"]) == (600, 600)
        RollingWindows(client, "calm").apply(events)
        assert figures(RollingWindows(client, "calm")) == found
        client.close()


def test_events_that_a_stopped_service_could_not_deliver_are_delivered_by_the_next(
    windows: RollingWindows, tmp_path: Path
) -> None:
    away = connect("redis://127.0.0.1:1")
    observer = RecordingObserver()
    first = recorder(RollingWindows(away, "m"), observer, tmp_path)
    events = history(50)
    for event in events:
        first.record(event)
    # Every event is on the disk, so there is nothing to wait for.
    assert first.close(timeout=3600) == 0
    away.close()
    second = recorder(windows, observer, tmp_path)
    eventually(lambda: second.waiting == 0 and figures(windows)["labelled"] == 50)
    assert second.close() == 0


_WORKER = """
import sys, time
from pathlib import Path
from monitoring.store.connection import connect
from monitoring.events import FeedbackEvent, PredictionEvent
from monitoring.delivery.recorder import Recorder
from monitoring.windows.rolling import RollingWindows
class Observer:
    def delivered(self, event, outcome): pass
    dropped = unlogged = lambda self, event: None
recorder = Recorder(RollingWindows(connect(sys.argv[1]), sys.argv[2]), Observer(), logs=Path(sys.argv[3]))
recorder.start()
for number in range(10**9):
    recorder.record(PredictionEvent(f"r{number}", "b:1", 1, 1, "A", 1.0, 1.0, float(number)))
    recorder.record(FeedbackEvent(f"r{number}", 1, float(number)))
    if number == 500:
        print("many", file=sys.stderr, flush=True)
    time.sleep(0.0002)
"""


def test_the_log_of_a_killed_worker_is_adopted_by_another(
    windows: RollingWindows, model: str, tmp_path: Path
) -> None:
    survivor = recorder(windows, RecordingObserver(), tmp_path)
    eventually(lambda: (tmp_path / "writer-0").exists())
    with subprocess.Popen(
        # Its store is unreachable, so no event of its log has been delivered.
        [sys.executable, "-P", "-c", _WORKER, "redis://127.0.0.1:1", model, str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stderr is not None
        assert worker.stderr.readline() == "many\n"
        worker.kill()
    written = [line for path in tmp_path.glob("writer-1/*.jsonl") for line in path.read_bytes().split(b"\n")]
    # Whole lines; the last one may be torn.
    eventually(lambda: figures(windows)["labelled"] >= (len(written) - 1) // 2)
    found = figures(windows)
    assert found["predictions"] - found["labelled"] in (0, 1)
    assert found["labelled"] >= 50
    assert survivor.close() == 0


def test_a_folder_that_cannot_be_written_costs_the_log_and_no_event(
    windows: RollingWindows, tmp_path: Path
) -> None:
    (tmp_path / "events").write_text("a file where the folder should be")
    observer = RecordingObserver()
    running = recorder(windows, observer, tmp_path / "events")
    for event in history(50):
        running.record(event)
    eventually(lambda: running.waiting == 0 and figures(windows)["labelled"] == 50)
    assert running.log_works is False
    assert len(observer.unwritten) == len(observer.outcomes) >= 100
    (tmp_path / "events").unlink()
    eventually(lambda: running.log_works is True)
    unwritten = len(observer.unwritten)
    for event in history(50, seed=1):
        running.record(event)
    eventually(lambda: running.waiting == 0 and figures(windows)["labelled"] == 100)
    assert len(observer.unwritten) == unwritten
    assert running.close() == 0
    assert observer.lost == []


def test_a_log_that_is_removed_while_in_use_is_replaced(windows: RollingWindows, tmp_path: Path) -> None:
    observer = RecordingObserver()
    running = recorder(windows, observer, tmp_path)
    for event in history(20):
        running.record(event)
    eventually(lambda: running.waiting == 0 and len(observer.outcomes) >= 40)
    for path in (tmp_path / "writer-0").iterdir():
        path.unlink()
    (tmp_path / "writer-0").rmdir()
    for event in history(20, seed=1):
        running.record(event)
    eventually(lambda: running.waiting == 0 and running.log_works is True)
    for event in history(20, seed=2):
        running.record(event)
    eventually(lambda: figures(windows)["labelled"] >= 40 and running.waiting == 0)
    assert running.close() == 0


def test_an_event_that_cannot_be_sent_does_not_hold_up_the_log(
    windows: RollingWindows, tmp_path: Path
) -> None:
    observer = RecordingObserver()
    running = recorder(windows, observer, tmp_path)
    good = history(30)
    # The store's client cannot send a label that is no number.
    bad = FeedbackEvent("s0-r3", [1], 1e9)  # type: ignore[arg-type]
    for event in [*good[:20], bad, *good[20:]]:
        running.record(event)
    eventually(lambda: running.waiting == 0 and figures(windows)["labelled"] == 30)
    assert observer.lost == [bad]
    assert running.close() == 0


def test_an_event_that_cannot_be_written_does_not_end_the_recorder(
    windows: RollingWindows, tmp_path: Path
) -> None:
    observer = RecordingObserver()
    running = recorder(windows, observer, tmp_path)
    good = history(30)
    bad = FeedbackEvent("s0-r3", {1}, 1e9)  # type: ignore[arg-type]
    for event in [*good[:20], bad, *good[20:]]:
        running.record(event)
    eventually(lambda: running.waiting == 0 and figures(windows)["labelled"] == 30)
    assert observer.lost == [bad]
    eventually(lambda: running.log_works is True)
    assert running.close() == 0


def test_a_log_that_cannot_be_read_is_left_for_another_one(windows: RollingWindows, tmp_path: Path) -> None:
    observer = RecordingObserver()
    first = recorder(windows, observer, tmp_path)
    assert first.close() == 0
    (tmp_path / "writer-0" / "000000000007.jsonl").mkdir()
    running = recorder(windows, observer, tmp_path)
    eventually(lambda: (tmp_path / "writer-1").is_dir() and running.log_works is True)
    for event in history(30):
        running.record(event)
    eventually(lambda: running.waiting == 0 and figures(windows)["labelled"] == 30)
    assert (tmp_path / "writer-1" / "000000000001.jsonl").is_file()
    assert running.close() == 0
    assert observer.lost == []
