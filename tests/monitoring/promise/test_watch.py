"""The watch: from items to alarms, over several workers, restarts and a store that is away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from fakes.item_streams import Answered, changes, stream
from fakes.waiting import eventually

from monitoring.promise.archive import Archive
from monitoring.promise.items import AuditCounts, AuditPage, ItemChanges
from monitoring.promise.latch import Reset
from monitoring.promise.terms import PromiseTerms, WatchOptions, WatchPolicy
from monitoring.promise.watch import MonitorView, PromiseWatch
from monitoring.store.contract import StoreUnavailable

TERMS = PromiseTerms("tiny:1", "promised", 0.01, coverage=0.7)
ACTS = WatchPolicy(acts=True, trusted=True, open_labels=False)
BROKEN = [Answered(1_000_000.0 + k, wrong=k % 10 == 0) for k in range(400)]


@dataclass
class Reader:
    """The store's items, in memory."""

    items: Sequence[Answered] = ()
    away: bool = False
    closed: bool = False

    def changes(self, bundle: str, after: int | None) -> ItemChanges:
        if self.away:
            raise StoreUnavailable("away")
        new = changes(self.items[after or 0 :], complete=after is None)
        return ItemChanges(
            len(self.items), new.audits, (), new.unaudited, new.decided, new.complete, 0.0, False
        )

    def waiting(self, bundle: str | None, after: str | None, limit: int) -> AuditPage:
        raise NotImplementedError

    def counts(self, bundle: str) -> AuditCounts:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


@dataclass
class Observer:
    views: list[MonitorView] = field(default_factory=list)
    exchanged: list[str] = field(default_factory=list)

    def show(self, view: MonitorView) -> None:
        self.views.append(view)

    def broken(self, bundle: str) -> None:
        self.exchanged.append(bundle)


@pytest.fixture
def make_watch(tmp_path: Path) -> Callable[..., tuple[PromiseWatch, Observer]]:
    def make(
        reader: Reader | None, policy: WatchPolicy = ACTS, serving: Sequence[PromiseTerms] = (TERMS,)
    ) -> tuple[PromiseWatch, Observer]:
        observer = Observer()
        watch = PromiseWatch(
            reader,
            Archive(tmp_path, None, "tiny"),
            lambda: serving,
            observer,
            WatchOptions(share=1.0),
            policy,
            clock=lambda: 1_001_000.0,
        )
        return watch, observer

    return make


Make = Callable[..., tuple[PromiseWatch, Observer]]


def test_a_broken_promise_suspends_and_is_reported_once(make_watch: Make) -> None:
    watch, observer = make_watch(Reader(BROKEN))
    for _ in range(3):
        watch.look()
    assert watch.suspended == {"tiny:1"}
    assert observer.exchanged == ["tiny:1"]
    view = watch.view(TERMS)
    assert view.suspended
    assert view.sentence.startswith("The promise is broken")


def test_another_worker_follows_without_items_of_its_own(make_watch: Make) -> None:
    make_watch(Reader(BROKEN))[0].look()
    other, observer = make_watch(Reader(away=True))
    other.look()
    assert other.suspended == {"tiny:1"}
    assert "The promise is broken" in observer.views[-1].sentence


def test_a_new_process_is_suspended_before_its_first_request(make_watch: Make) -> None:
    make_watch(Reader(BROKEN))[0].look()
    watch, _ = make_watch(None)
    watch.start()
    assert watch.suspended == {"tiny:1"}
    watch.close()


def test_an_alert_alone_suspends_nothing(make_watch: Make) -> None:
    watch, observer = make_watch(Reader(BROKEN), WatchPolicy(acts=False, trusted=True, open_labels=False))
    watch.look()
    assert (watch.suspended, observer.exchanged) == (frozenset(), [])
    assert "The promise is broken" in watch.view(TERMS).sentence


def test_open_labels_do_nothing_by_themselves(make_watch: Make) -> None:
    watch, observer = make_watch(Reader(BROKEN), WatchPolicy(acts=True, trusted=False))
    watch.look()
    assert (watch.suspended, observer.exchanged) == (frozenset(), [])
    assert "so nothing was done by itself" in watch.view(TERMS).sentence


def test_a_reset_lets_the_bundle_answer_and_its_monitor_begin_anew(make_watch: Make, tmp_path: Path) -> None:
    watch, observer = make_watch(Reader(BROKEN))
    watch.look()
    reset = Reset(1_000_500.0, "Ada", "a lens was cleaned")
    Archive(tmp_path, None, "tiny").change_latch(lambda latch: latch.reset("tiny:1", reset))
    watch.look()
    assert watch.suspended == frozenset()
    reading = observer.views[-1].reading
    assert reading is not None
    assert reading.audits == 0


def test_a_store_that_is_away_leaves_the_latest_reading(make_watch: Make) -> None:
    reader = Reader(stream(300, 0.0, 1))
    watch, observer = make_watch(reader)
    watch.look()
    reader.away = True
    watch.look()
    assert observer.views[0].reading == observer.views[1].reading is not None


def test_the_sentence_is_in_the_log_once_an_hour(make_watch: Make) -> None:
    watch, _ = make_watch(Reader(stream(300, 0.0, 1)))
    with structlog.testing.capture_logs() as lines:
        watch.look()
        watch.look()
    (said,) = [line["note"] for line in lines if line["event"] == "promise"]
    assert said.startswith("The promise has held over 300 audited answers")


def test_new_items_are_read_from_where_the_last_look_ended(make_watch: Make) -> None:
    reader = Reader(stream(300, 0.0, 1))
    watch, observer = make_watch(reader)
    watch.look()
    reader.items = [*reader.items, *stream(50, 0.0, 2, begin=1_000_400.0)]
    watch.look()
    assert [view.reading.audits for view in observer.views if view.reading] == [300, 350]


def test_a_bundle_without_a_promise_is_said_and_not_followed(make_watch: Make) -> None:
    terms = PromiseTerms("tiny:2", "not certified here", why="no engine")
    watch, observer = make_watch(Reader(BROKEN), serving=(terms,))
    watch.look()
    assert observer.views[-1].reading is None
    assert "Nothing is watched" in observer.views[-1].sentence


def test_the_thread_looks_and_survives_a_failure(make_watch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(BROKEN)
    watch, observer = make_watch(reader)
    monkeypatch.setattr(reader, "away", True)
    watch.start()
    eventually(lambda: len(observer.views) >= 1)
    reader.away = False
    eventually(lambda: watch.suspended == {"tiny:1"})
    watch.close()
    assert reader.closed
