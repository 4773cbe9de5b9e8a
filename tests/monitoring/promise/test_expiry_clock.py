"""Jumps of the system's clock: they expire nothing that had time left, and raise no alarm."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.item_streams import Answered, changes

from monitoring.promise.archive import Archive
from monitoring.promise.expiry_clock import ExpiryClock
from monitoring.promise.items import ItemChanges
from monitoring.promise.reading import Reading
from monitoring.promise.terms import PromiseTerms, WatchOptions, WatchPolicy
from monitoring.promise.watch import MonitorView, PromiseWatch

TERMS = PromiseTerms("tiny:1", "promised", 0.01)
WAIT, BEGIN = 600.0, 1_000_000.0
LABELLED = [Answered(BEGIN + k) for k in range(300)]
WAITING = [Answered(BEGIN + 300 + k, wrong=None) for k in range(100)]


class Clocks:
    """The two clocks of a machine, and a store that holds items."""

    def __init__(self, items: list[Answered]) -> None:
        self.items = items
        self.system, self.even = BEGIN + 400, 50.0
        self.seen: list[MonitorView] = []
        self.exchanged: list[str] = []

    def go_on(self, seconds: float) -> None:
        self.system += seconds
        self.even += seconds

    def changes(self, bundle: str, after: int | None) -> ItemChanges:
        return changes(self.items, complete=True)

    def close(self) -> None:
        pass

    def show(self, view: MonitorView) -> None:
        self.seen.append(view)

    def broken(self, bundle: str) -> None:
        self.exchanged.append(bundle)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks([*LABELLED, *WAITING])


@pytest.fixture
def watch(clocks: Clocks, tmp_path: Path) -> PromiseWatch:
    """A watch that has looked once, before anything happens to the clock."""
    watch = PromiseWatch(
        clocks,  # type: ignore[arg-type]  # it reads changes alone
        Archive(tmp_path, None, "tiny"),
        lambda: (TERMS,),
        clocks,
        WatchOptions(share=1.0, gap=60.0, wait=WAIT),
        WatchPolicy(acts=True, trusted=True, open_labels=False),
        clock=lambda: clocks.system,
        monotonic=lambda: clocks.even,
    )
    assert looked(watch, clocks).waiting == 100
    return watch


def looked(watch: PromiseWatch, clocks: Clocks) -> Reading:
    watch.look()
    reading = clocks.seen[-1].reading
    assert reading is not None
    return reading


def test_a_jump_forward_expires_nothing_that_has_time_left(clocks: Clocks, watch: PromiseWatch) -> None:
    clocks.system += 10 * WAIT
    for _ in range(5):
        clocks.go_on(1.0)
        reading = looked(watch, clocks)
        assert (reading.audits, reading.missing, reading.waiting) == (300, 0, 100)
    clocks.items = [*LABELLED, *[Answered(one.at) for one in WAITING]]
    assert looked(watch, clocks).audits == 400
    assert (watch.suspended, clocks.exchanged) == (frozenset(), [])


def test_after_a_jump_a_label_is_missing_once_its_wait_is_over(clocks: Clocks, watch: PromiseWatch) -> None:
    clocks.system += 10 * WAIT
    for _ in range(50):
        clocks.go_on(10.0)
        assert looked(watch, clocks).missing == 0
    for _ in range(12):
        clocks.go_on(10.0)
        reading = looked(watch, clocks)
    # As it would be without the jump: missing labels count as wrong.
    assert (reading.audits, reading.missing) == (400, 100)
    assert watch.suspended == {"tiny:1"}


def test_a_jump_back_expires_nothing_and_changes_no_alarm(clocks: Clocks, watch: PromiseWatch) -> None:
    clocks.system -= 3600.0
    for _ in range(5):
        clocks.go_on(1.0)
        assert looked(watch, clocks).missing == 0
    assert watch.suspended == frozenset()
    clocks.system += 3600.0
    clocks.items = [*LABELLED, *[Answered(one.at, wrong=True) for one in WAITING]]
    looked(watch, clocks)
    assert watch.suspended == {"tiny:1"}
    clocks.system -= 3600.0
    looked(watch, clocks)
    assert watch.suspended == {"tiny:1"}
    assert clocks.exchanged == ["tiny:1"]


def test_the_clock_follows_the_system_but_not_its_jumps() -> None:
    even = 0.0
    clock = ExpiryClock(WAIT, lambda: even)
    assert clock.at(1000.0) == 1000.0
    even += 30
    assert clock.at(1031.0) == 1031.0, "small corrections are followed"
    even += 30
    assert clock.at(900.0) == 900.0, "and every step back"
    even += 30
    assert clock.at(90_930.0) == 930.0
    even += 30
    assert clock.at(930.0) == 930.0, "a jump that is taken back is none"
    even += 30
    assert clock.at(90_960.0) == 960.0
    even += WAIT - 1
    assert clock.at(90_960.0 + WAIT - 1) == 960.0 + WAIT - 1
    even += 1
    assert clock.at(90_960.0 + WAIT) == 90_960.0 + WAIT
    even += 1
    assert clock.at(90_961.0 + WAIT) == 90_961.0 + WAIT
