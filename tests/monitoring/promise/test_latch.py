"""The latch: versions of it merge into one in which nothing is lost, whatever the order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.promise.latch import Alarm, BundleLatch, Latch, LatchUnreadable, Reset

BROKEN = Alarm("broken", "", 100.0, 25.0, trusted=True)
RESET = Reset(200.0, "Ada", "the camera was replaced")

_ALARMS = st.builds(
    Alarm,
    st.sampled_from(["broken", "worse", "coverage"]),
    st.sampled_from(["", "yes"]),
    st.integers(0, 5).map(float),
    st.integers(20, 22).map(float),
    st.booleans(),
)
_LATCHES = st.builds(
    lambda begin, alarms, resets: Latch(
        {"a:1": BundleLatch(begin, {f"{one.signal} {one.part}": one for one in alarms}, tuple(resets))}
    ),
    st.integers(0, 2).map(float),
    st.lists(_ALARMS, max_size=3),
    st.lists(st.builds(Reset, st.integers(0, 2).map(float), st.just("n"), st.just("r")), max_size=2),
)


@given(_LATCHES, _LATCHES, _LATCHES)
def test_the_order_of_merging_does_not_matter(a: Latch, b: Latch, c: Latch) -> None:
    assert a.merged(b) == b.merged(a)
    assert a.merged(b).merged(c) == a.merged(b.merged(c))
    assert a.merged(b).merged(b) == a.merged(b)


@given(_LATCHES)
def test_a_document_comes_back(latch: Latch) -> None:
    assert Latch.from_json(latch.to_json()) == latch


def test_an_alarm_stays_until_a_person_resets_it() -> None:
    alarmed = Latch().alarmed("a:1", BROKEN, 0.0)
    assert alarmed.of("a:1").suspends
    assert alarmed.activated("a:1", 150.0) == alarmed
    reset = alarmed.reset("a:1", RESET)
    assert not reset.of("a:1").suspends
    assert (reset.of("a:1").begin, reset.of("a:1").resets) == (200.0, (RESET,))


def test_a_worker_that_has_not_seen_the_reset_cannot_undo_it() -> None:
    alarmed = Latch().alarmed("a:1", BROKEN, 0.0)
    reset = alarmed.reset("a:1", RESET)
    late = alarmed.alarmed("a:1", Alarm("worse", "", 250.0, 30.0, trusted=True), 0.0)
    assert reset.merged(late).of("a:1").alarms == {}


def test_an_activated_bundle_begins_anew() -> None:
    assert Latch().activated("a:1", 150.0).of("a:1").begin == 150.0


def test_alarms_by_open_labels_do_not_suspend() -> None:
    alarm = Alarm("broken", "", 100.0, 25.0, trusted=False)
    assert not Latch().alarmed("a:1", alarm, 0.0).of("a:1").suspends


def test_of_an_alarm_the_first_time_is_kept() -> None:
    later = Alarm("broken", "", 120.0, 90.0, trusted=True)
    latch = Latch().alarmed("a:1", later, 0.0).alarmed("a:1", BROKEN, 0.0)
    assert latch.of("a:1").alarm("broken") == BROKEN


@pytest.mark.parametrize("document", [b"", b"[]", b'{"a:1": 3}', b'{"a:1": {"begin": 1}}', b"\xff"])
def test_other_documents_are_refused(document: bytes) -> None:
    with pytest.raises(LatchUnreadable, match="no latch"):
        Latch.from_json(document)
