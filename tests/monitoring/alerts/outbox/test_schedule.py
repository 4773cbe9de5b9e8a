"""When an entry is tried: pure functions over entries and a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.alert_messages import message
from hypothesis import given
from hypothesis import strategies as st

from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.outbox.entry import Entry
from monitoring.alerts.outbox.schedule import LONGEST_PAUSE, is_too_old, lanes_of, next_of, pause_after

DAY = 86_400.0
UNKNOWN = Delivery("unknown", "no answer")


def entry(number: int = 0, **changes: object) -> Entry:
    given: dict[str, object] = {"channel": "mail", "to": "ana", "added": 1000.0 + number, **changes}
    return Entry(message(f"m-{number}"), **given)  # type: ignore[arg-type]


def test_pauses_double_and_end_at_fifteen_minutes() -> None:
    assert [pause_after(tries) for tries in range(6)] == [0, 2, 4, 8, 16, 32]
    assert pause_after(10**6) == LONGEST_PAUSE == 900


def test_tries_outlive_an_outage_of_a_day_and_of_a_week() -> None:
    one, now, tries = entry(), 1000.0, 0
    while not is_too_old(one, now):
        if next_of([one], now) is not None:
            one, tries = one.tried(UNKNOWN, now), tries + 1
        now += 1.0 if now < 5000 else 60.0
    assert now - 1000.0 > 7 * DAY
    assert 700 < tries < 900


def test_a_message_is_delivered_within_a_quarter_of_an_hour_of_the_end_of_an_outage() -> None:
    one, now = entry(), 1000.0
    while now < 1000.0 + DAY:
        if next_of([one], now) is not None:
            one = one.tried(UNKNOWN, now)
        now += 1.0
    assert next_of([one], now + 900.0) is one


def test_the_oldest_goes_first_and_the_next_only_after_it() -> None:
    old, new = entry(0), entry(1)
    ((first, second),) = lanes_of([new, old])
    assert (first, second) == (old, new)
    failed = old.tried(UNKNOWN, 1001.5)
    assert next_of([failed, new], 1002.0) is None
    assert next_of([failed, new], 1004.0) is failed


def test_a_new_message_is_a_reason_to_try_at_once_unless_the_receiver_asked_to_wait() -> None:
    failed = replace(entry(0), tries=10).tried(UNKNOWN, 2000.0)
    assert next_of([failed], 2100.0) is None
    assert next_of([failed, entry(1100)], 2100.0) is failed
    told_to_wait = replace(entry(0), tries=10).tried(Delivery("refused", "429", retry_after=600), 2000.0)
    assert next_of([told_to_wait, entry(1100)], 2100.0) is None


def test_what_waits_is_told_at_once_when_the_receiver_works_again() -> None:
    failed = replace(entry(0), tries=10).tried(UNKNOWN, 2000.0)
    assert next_of([failed], 2002.0, delivered_at=2001.0) is failed
    assert next_of([failed], 2002.0, delivered_at=1999.0) is None


def test_a_message_that_fails_again_and_again_lets_others_go_first() -> None:
    poison = replace(entry(0), tries=6, tried_at=1500.0)
    ((first, _),) = lanes_of([poison, entry(1)])
    assert first.message.id == "m-1"


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    failed = replace(entry(0), tries=3).tried(UNKNOWN, 10_000.0)
    assert next_of([failed], 10_000.0 - 3600.0) is failed


def test_receivers_with_critical_messages_come_first() -> None:
    info = Entry(message("a", severity="info"), "mail", "ben", 1.0)
    critical = Entry(message("b"), "mail", "ana", 2.0)
    assert [lane[0] for lane in lanes_of([info, critical])] == [critical, info]


@given(tries=st.integers(1, 500), at=st.floats(0, 1e9), later=st.floats(0, 1e6))
def test_nothing_waits_longer_than_a_quarter_of_an_hour(tries: int, at: float, later: float) -> None:
    failed = replace(entry(0), tries=tries, tried_at=at)
    due = next_of([failed], at + later) is not None
    assert due == (later >= pause_after(tries)) or abs(later - pause_after(tries)) < 1e-3
    assert due or later < LONGEST_PAUSE


def test_an_entry_is_the_same_for_the_same_message_and_receiver() -> None:
    assert entry(0).key == replace(entry(0), added=5.0, tries=3).key
    assert len({entry(0).key, entry(1).key, replace(entry(0), to="ben").key}) == 3
    assert Entry.from_json(entry(0).to_json()) == entry(0)


@pytest.mark.parametrize("added", [1000.0, 1000.0 + 8 * DAY])
def test_a_message_is_given_up_after_eight_days(added: float) -> None:
    assert is_too_old(entry(0, added=added), 1000.0 + 8 * DAY + 1) == (added == 1000.0)
