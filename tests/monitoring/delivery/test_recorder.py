"""The recorder with a real Valkey that is stopped and restarted, and the recorder's bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakes.recording_observer import RecordingObserver
from fakes.waiting import eventually

from monitoring.delivery.delivery_round import RecorderOptions
from monitoring.delivery.recorder import Recorder
from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.store.connection import connect
from monitoring.store.contract import EventOutcome, EventRefused, StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows


def event(number: int) -> PredictionEvent:
    return PredictionEvent(f"r{number}", "b:1", 1, 1, "A", 1.0, 1.0, float(number))


def test_events_wait_for_the_next_delivery_or_for_a_batch_of_them(windows: RollingWindows) -> None:
    observer = RecordingObserver()
    recorder = Recorder(
        windows, observer, options=RecorderOptions(interval=0.001, deliver_every=60.0, batch=4)
    )
    recorder.start()
    eventually(lambda: recorder.connected is True)
    for number in range(3):
        recorder.record(event(number))
    time.sleep(0.1)
    assert (recorder.waiting, observer.outcomes) == (3, [])
    recorder.record(event(3))
    eventually(lambda: observer.outcomes == ["recorded"] * 4)
    assert recorder.close() == 0


def test_events_arrive_in_their_order(windows: RollingWindows) -> None:
    observer = RecordingObserver()
    recorder = Recorder(windows, observer, options=RecorderOptions(interval=0.001, batch=16))
    recorder.start()
    for number in range(100):
        assert recorder.record(event(number))
        assert recorder.record(FeedbackEvent(f"r{number}", number % 2, 500.0))
    assert recorder.close() == 0
    assert observer.outcomes == ["recorded", "ok"] * 100
    assert windows.snapshot("b:1").labelled == 100


def test_a_store_that_goes_and_comes_back_loses_nothing(private_valkey: Callable[[], EmbeddedValkey]) -> None:
    first = private_valkey()
    client = connect(first.url)
    windows, observer = RollingWindows(client, "m"), RecordingObserver()
    recorder = Recorder(windows, observer, options=RecorderOptions(interval=0.005, longest_pause=0.05))
    recorder.start()
    recorder.record(event(0))
    eventually(lambda: len(observer.outcomes) == 1)
    assert recorder.connected is True
    first.close()
    for number in range(1, 50):
        assert recorder.record(event(number))
        time.sleep(0.002)
    eventually(lambda: recorder.connected is False)
    assert recorder.waiting > 0
    private_valkey()
    eventually(lambda: recorder.waiting == 0 and recorder.connected is True)
    assert recorder.close() == 0
    # Events in transit when the store stopped may have been taken, and are then sent again.
    assert windows.snapshot("b:1").predictions == 50
    assert observer.lost == []
    client.close()


def test_a_full_buffer_refuses_the_newest_and_counts_them(tmp_path: object) -> None:
    observer = RecordingObserver()
    recorder = Recorder(
        RollingWindows(connect("redis://127.0.0.1:1"), "m"), observer, options=RecorderOptions(capacity=3)
    )
    assert [recorder.record(event(number)) for number in range(5)] == [True, True, True, False, False]
    assert [lost.request_id for lost in observer.lost] == ["r3", "r4"]
    recorder.start()
    eventually(lambda: recorder.connected is False)
    assert recorder.close(timeout=0.2) == 3
    assert len(observer.lost) == 5


def test_several_events_are_kept_in_their_order_as_far_as_there_is_room() -> None:
    observer = RecordingObserver()
    recorder = Recorder(
        RollingWindows(connect("redis://127.0.0.1:1"), "m"), observer, options=RecorderOptions(capacity=3)
    )
    assert recorder.record(event(0))
    assert recorder.record_all([event(1)]) == 1
    assert recorder.record_all([]) == 0
    assert recorder.record_all([event(number) for number in range(2, 5)]) == 1
    assert recorder.record_all([event(5)]) == 0
    assert [lost.request_id for lost in observer.lost] == ["r3", "r4", "r5"]
    assert recorder.close(timeout=0.1) == 3


class Slow:
    """A store that takes a moment for each call."""

    def __init__(self) -> None:
        self.taken = 0

    def apply(self, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
        time.sleep(0.002)
        self.taken += len(events)
        return ["recorded" for _ in events]

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[EventOutcome | EventRefused]:
        return self.apply(events)

    def position(self, log: str) -> str | None:
        return None

    def ping(self) -> None:
        pass


def test_rounds_follow_each_other_closely_while_more_waits_than_one_delivers(tmp_path: Path) -> None:
    sink = Slow()
    # 400 calls are needed; a round has time for 50 of them, and rests for far longer than the test otherwise.
    recorder = Recorder(
        sink, RecordingObserver(), logs=tmp_path, options=RecorderOptions(interval=300.0, batch=1)
    )
    recorder.record_all([event(number) for number in range(400)])
    recorder.start()
    eventually(lambda: sink.taken == 400)
    assert recorder.close() == 0


class Stubborn:
    """Refuses one event, and raises an unexpected error on another."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def apply(self, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
        if any(e.request_id == "r5" for e in events):
            raise RuntimeError("a fault of ours")
        self.taken.extend(e.request_id for e in events)
        return [EventRefused("no") if e.request_id == "r2" else "recorded" for e in events]

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[EventOutcome | EventRefused]:
        return self.apply(events)

    def position(self, log: str) -> str | None:
        return None

    def ping(self) -> None:
        pass


def test_an_event_that_cannot_be_stored_does_not_stop_the_others() -> None:
    sink, observer = Stubborn(), RecordingObserver()
    recorder = Recorder(sink, observer, options=RecorderOptions(interval=0.001, batch=4))
    recorder.start()
    for number in range(8):
        recorder.record(event(number))
    eventually(lambda: len(observer.outcomes) == 6)
    assert recorder.close() == 0
    assert [lost.request_id for lost in observer.lost] == ["r2", "r5"]


class Gone:
    """A store that never answers, and counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def apply(self, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
        self.calls += 1
        raise StoreUnavailable("gone")

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[EventOutcome | EventRefused]:
        return self.apply(events)

    def position(self, log: str) -> str | None:
        self.ping()
        return None

    def ping(self) -> None:
        self.calls += 1
        raise StoreUnavailable("gone")


def test_calls_to_an_absent_store_become_less_and_less_frequent() -> None:
    sink = Gone()
    recorder = Recorder(sink, RecordingObserver(), options=RecorderOptions(interval=0.001, longest_pause=0.1))
    began = time.monotonic()
    recorder.start()
    time.sleep(0.5)
    recorder.close(timeout=0.01)
    # Seven pauses of 1 to 64 ms, then a tenth of a second each; a look has two calls at most.
    assert sink.calls < 20 + 2 * (time.monotonic() - began) / 0.1


def test_recording_does_not_wait_for_the_store() -> None:
    hangs, resume = threading.Event(), threading.Event()

    class Hanging(Stubborn):
        def apply(self, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
            hangs.set()
            resume.wait()
            return super().apply(events)

    recorder = Recorder(Hanging(), RecordingObserver(), options=RecorderOptions(interval=0.001))
    recorder.start()
    recorder.record(event(0))
    assert hangs.wait(120)
    for number in range(1000):
        recorder.record(event(number))
    # Here nobody has waited for the call that hangs.
    resume.set()
    recorder.close(timeout=0.01)


@pytest.mark.parametrize(("capacity", "batch"), [(0, 1), (1, 0)])
def test_invalid_bounds(capacity: int, batch: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RecorderOptions(capacity=capacity, batch=batch)


def test_several_threads_may_record(windows: RollingWindows) -> None:
    observer = RecordingObserver()
    recorder = Recorder(windows, observer, options=RecorderOptions(interval=0.001))
    recorder.start()

    def record(start: int) -> None:
        for number in range(start, start + 200):
            recorder.record(event(number))

    threads = [threading.Thread(target=record, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.close() == 0
    assert windows.snapshot("b:1").predictions == 800


class TestSettled:
    """What was recorded is safe from the death of the process."""

    def test_the_log_has_it_at_once(self, windows: RollingWindows, tmp_path: Path) -> None:
        options = RecorderOptions(interval=60.0, deliver_every=60.0)
        recorder = Recorder(windows, RecordingObserver(), logs=tmp_path, options=options)
        recorder.start()
        eventually(lambda: recorder.log_works is True)
        for number in range(3):
            recorder.record(event(number))
            recorder.settled().result(10.0)
            (segment,) = (tmp_path / "writer-0").glob("*.jsonl")
            assert segment.read_bytes().count(b"\n") == number + 1
        assert recorder.close() == 0

    @pytest.mark.parametrize("logs", [False, True])
    def test_without_a_log_the_store_has_it(
        self, windows: RollingWindows, tmp_path: Path, logs: bool
    ) -> None:
        unwritable = tmp_path / "file"
        unwritable.touch()
        options = RecorderOptions(interval=60.0, deliver_every=60.0)
        recorder = Recorder(windows, RecordingObserver(), logs=unwritable if logs else None, options=options)
        recorder.start()
        eventually(lambda: recorder.connected is True)
        recorder.record(event(0))
        recorder.settled().result(10.0)
        assert windows.snapshot("b:1").predictions == 1
        assert recorder.close() == 0

    def test_it_is_not_done_while_neither_takes_it(self) -> None:
        away = RollingWindows.at("redis://127.0.0.1:1", "m")
        recorder = Recorder(away, RecordingObserver(), options=RecorderOptions(interval=0.01))
        recorder.start()
        recorder.record(event(0))
        with pytest.raises(TimeoutError):
            recorder.settled().result(0.3)
        assert recorder.close(0.1) == 1
        away.close()

    def test_many_that_wait_at_once_are_all_told(self, windows: RollingWindows, tmp_path: Path) -> None:
        recorder = Recorder(windows, RecordingObserver(), logs=tmp_path)
        recorder.start()
        waiting = []
        for number in range(500):
            recorder.record(event(number))
            waiting.append(recorder.settled())
        waiting[7].cancel()
        assert all(one.result(10.0) is None for number, one in enumerate(waiting) if number != 7)
        assert recorder.close() == 0
