"""Events in a real store, from the answer to the reading: the same from any order, and after a lost store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from calibration import e_detector
from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.promise.archive import Archive
from monitoring.promise.reading import Reading
from monitoring.promise.stored_items import StoredItems
from monitoring.promise.terms import PromiseTerms, WatchOptions, WatchPolicy
from monitoring.promise.watch import MonitorView, PromiseWatch
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import REWARD_SIZES
from monitoring.windows.unit_windows import ItemTimes

TERMS = PromiseTerms("tiny:1", "promised", 0.01, "answer", ("no", "yes"), 0.7)
TIMES = ItemTimes(gap=60.0, wait=5_000.0)
OPTIONS = WatchOptions(share=0.5, gap=TIMES.gap, wait=TIMES.wait)
NOW = float(round(time.time()))


class Views:
    """Keeps the latest reading."""

    reading: Reading | None = None

    def show(self, view: MonitorView) -> None:
        self.reading = view.reading

    def broken(self, bundle: str) -> None:
        pass


def a_day(count: int = 600) -> list[Event]:
    """Answers and abstentions, some with a unit; labels of the audits, some wrong, late or corrected."""
    rng = np.random.default_rng(5)
    events: list[Event] = []
    for number in range(count):
        at, name = NOW - 4_000.0 + 6.0 * number, f"r{number}"
        answer = None if rng.random() < 0.2 else int(rng.random() < 0.5)
        audit = answer is not None and rng.random() < 0.5
        events.append(
            PredictionEvent(
                request_id=name,
                bundle="tiny:1",
                predicted=answer or 0,
                answer=answer,
                stage="A",
                confidence=1.0,
                probability=0.5,
                at=at,
                unit_id=f"cam-{number % 3}" if number % 2 else None,
                audit=audit,
                draw=rng.random(),
                audit_probability=None if answer is None else 0.5,
                part="" if answer is None else ("no", "yes")[answer],
            )
        )
        if audit and answer is not None:
            wrong = rng.random() < 0.08
            events.append(FeedbackEvent(name, 1 - answer if wrong else answer, at + 20.0))
            if rng.random() < 0.1:
                events.append(FeedbackEvent(name, answer, at + 30.0))
    return events


def a_watch(url: str, model: str, folder: Path) -> tuple[PromiseWatch, Views]:
    views = Views()
    watch = PromiseWatch(
        StoredItems.at(url, model, TIMES, sizes=REWARD_SIZES),
        Archive(folder, url, model),
        lambda: [TERMS],
        views,
        OPTIONS,
        WatchPolicy(acts=True, trusted=True, open_labels=False),
        clock=lambda: NOW,
    )
    return watch, views


def send(url: str, model: str, events: Sequence[Event]) -> None:
    windows = RollingWindows.at(url, model, items=TIMES)
    for begin in range(0, len(events), 100):
        windows.apply(events[begin : begin + 100])
    windows.close()


def test_two_workers_and_a_rebuilt_store_come_to_the_same_values(
    valkey: EmbeddedValkey, model: str, tmp_path: Path
) -> None:
    events = a_day()
    order = np.random.default_rng(6).permutation(len(events)).tolist()
    first, seen = a_watch(valkey.url, model, tmp_path / "one")
    for begin in range(0, len(order), 300):
        send(valkey.url, model, [events[place] for place in order[begin : begin + 300]])
        first.look()
    second, other = a_watch(valkey.url, model, tmp_path / "two")
    second.look()
    reading = seen.reading
    assert reading is not None
    assert reading.audits > 100
    assert other.reading == reading
    assert first.suspended == second.suspended == {"tiny:1"}

    connect(valkey.url).flushall()
    first.look()
    assert first.suspended == {"tiny:1"}
    send(valkey.url, model, events)
    for watch, views in ((first, seen), (second, other)):
        watch.look()
        assert views.reading == reading
    assert Archive(tmp_path / "three", valkey.url, model).latch().of("tiny:1").suspends
    first.close()
    second.close()


def test_without_units_the_value_is_that_of_the_detector_over_the_events(
    valkey: EmbeddedValkey, model: str, tmp_path: Path
) -> None:
    events = a_day()
    answers = [one for one in events if isinstance(one, PredictionEvent) and one.part == "yes"]
    alone = [one for one in answers if one.unit_id is None]
    labels = {one.request_id: one.label for one in events if isinstance(one, FeedbackEvent)}
    ids = {one.request_id for one in alone}
    send(valkey.url, model, [one for one in events if one.request_id in ids])
    watch, views = a_watch(valkey.url, model, tmp_path)
    watch.look()
    watch.close()
    assert views.reading is not None
    (found,) = [one for one in views.reading.signals if (one.signal, one.part) == ("broken", "yes")]
    audited = np.array([one.audit for one in alone])
    wrong = np.array([labels.get(one.request_id, one.answer) != one.answer for one in alone])
    values = e_detector(wrong, 0.01, audited=audited, share=0.5)
    assert found.e_value == pytest.approx(values[-1], rel=1e-12)
    assert not views.reading.with_units
