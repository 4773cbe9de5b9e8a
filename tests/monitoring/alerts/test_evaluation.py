"""The states of an alert: what fires, what resolves, and what does neither."""

from __future__ import annotations

from dataclasses import replace

from fakes.alert_days import NOON, Day, a_file, accuracy
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.alerts.alert import Alert, fingerprint_of
from monitoring.alerts.dispatch import line_of
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.signals import Reading, labels_of

BAD, BETWEEN, GOOD, NONE = accuracy(0.7), accuracy(0.82), accuracy(0.95), accuracy(None)


def a_day() -> Day:
    return Day(a_file())


def test_it_is_pending_until_the_condition_has_held() -> None:
    day = a_day()
    day.last(60, BAD)
    assert day.alert.state == "pending"

    day.look(BAD)
    assert day.alert.state == "firing"
    assert day.alert.fired_with == BAD


def test_what_has_not_held_is_forgotten() -> None:
    day = a_day()
    for _ in range(10):
        day.last(50, BAD)
        day.look(BETWEEN)
    assert day.alert.fired_at is None
    assert day.alert.state == "resolved"
    assert day.sent == []


def test_it_resolves_only_beyond_the_level_and_after_a_time() -> None:
    day = a_day()
    day.last(70, BAD)
    day.last(3600, BETWEEN)
    assert day.alert.active

    day.last(20, GOOD)
    day.look(BETWEEN)
    day.last(20, GOOD)
    assert day.alert.active

    day.last(12, GOOD)
    assert day.alert.state == "resolved"


def test_no_data_neither_fires_nor_resolves() -> None:
    day = a_day()
    day.last(30, BAD)
    day.last(40, NONE)
    assert day.alert.state == "pending"

    day.last(40, BAD)
    assert day.alert.state == "firing"
    day.last(800, NONE)
    assert day.alert.active


def test_a_signal_that_goes_silent_is_an_alert_of_its_own_and_ends_with_the_silence() -> None:
    day = a_day()
    day.last(10, GOOD)
    day.last(890, NONE)
    assert day.state.alerts == {}

    day.last(20, NONE)
    assert day.alert.rule == "signal-silent"
    assert day.alert.active
    assert "accuracy-low" in day.alert.reading.text if day.alert.reading else False

    day.last(4, GOOD)
    assert day.alert.state == "resolved"


def test_a_signal_without_data_from_the_beginning_is_no_alert() -> None:
    day = a_day()
    day.last(7200, NONE)
    assert day.state.alerts == {}


def test_what_is_not_watched_any_more_is_no_silence_and_what_has_fired_stays_open() -> None:
    day = a_day()
    day.last(10, GOOD)
    day.last(7200)
    assert day.state.alerts == {}

    day.last(70, BAD)
    day.last(7200)
    rules = {alert.rule: alert.active for alert in day.state.alerts.values()}
    assert rules == {"accuracy-low": True, "signal-silent": True}


def test_a_clock_that_is_set_back_or_jumps_changes_nothing() -> None:
    day = a_day()
    day.last(30, BAD)
    day.look(BAD, moves=3600)
    assert day.alert.state == "pending"
    day.look(BAD, moves=-7200)
    assert day.alert.state == "pending"
    day.last(30, BAD)
    assert day.alert.state == "firing"

    day.look(GOOD, moves=3600)
    day.look(GOOD, moves=-3600)
    assert day.alert.active


def test_a_second_fault_is_a_new_episode() -> None:
    day = a_day()
    day.last(70, BAD)
    day.last(40, GOOD)
    day.last(70, BAD)
    assert day.alert.episode == 2
    assert day.alert.active
    assert day.alert.fingerprint == fingerprint_of("accuracy-low", BAD.labels)


def test_what_a_person_has_resolved_fires_again_only_later() -> None:
    day = a_day()
    day.last(70, BAD)
    day.act("resolve")
    assert day.alert.state == "resolved"

    day.last(250, BAD)
    assert day.alert.state == "pending"
    day.last(60, BAD)
    assert day.alert.state == "firing"


def test_a_rule_that_is_gone_ends_its_alerts() -> None:
    day = a_day()
    day.last(70, BAD)
    day.rules = day.rules.model_copy(update={"rules": day.rules.rules[1:]})
    day.look(BAD)
    assert day.alert.state == "resolved"


def test_labels_tell_alerts_apart_and_patterns_choose_them() -> None:
    day = Day(a_file(("    signal: accuracy\n", "    signal: accuracy\n    labels: {bundle: 'demur:*'}\n")))
    day.last(70, BAD, accuracy(0.7, "demur:2"), accuracy(0.7, "other:1"))
    assert {alert.label("bundle") for alert in day.state.alerts.values()} == {"demur:1", "demur:2"}


values = st.sampled_from([BAD, BETWEEN, GOOD, NONE])
days = st.lists(st.tuples(values, st.sampled_from([0.0, 2.0, 10.0])), max_size=40)


@settings(max_examples=25, deadline=None)
@given(days, st.lists(st.sampled_from([-7200.0, -3600.0, 0.0, 3600.0, 86_400.0]), min_size=60, max_size=60))
def test_any_clock_gives_the_same_states(steps: list[tuple[Reading, float]], jumps: list[float]) -> None:
    straight, crooked = a_day(), a_day()
    for (reading, elapsed), jump in zip(steps, jumps, strict=False):
        straight.look(reading, elapsed=elapsed)
        crooked.look(reading, elapsed=elapsed, moves=elapsed + jump)
        # A jump of days may forget what was resolved; what is open is the same.
        one = [(a.episode, a.state, a.held) for a in straight.state.alerts.values() if a.active]
        other = [(a.episode, a.state, a.held) for a in crooked.state.alerts.values() if a.active]
        assert [each[1:] for each in one] == [each[1:] for each in other]


@settings(max_examples=25, deadline=None)
@given(days)
def test_nothing_fires_or_resolves_before_its_time(steps: list[tuple[Reading, float]]) -> None:
    day = a_day()
    held = good = 0.0
    for reading, elapsed in steps:
        before = next(iter(day.state.alerts.values()), None)
        day.look(reading, elapsed=elapsed)
        after = next(iter(day.state.alerts.values()), None)
        held = held + elapsed if reading is BAD else (held if reading is NONE else 0.0)
        good = good + elapsed if reading is GOOD else (good if reading is NONE else 0.0)
        if after is not None and after.active and not (before is not None and before.active):
            assert held >= 60.0
        if before is not None and before.active and after is not None and not after.active:
            assert good >= 30.0


def versions() -> st.SearchStrategy[EngineState]:
    def state(parts: tuple[list[tuple[Reading, float]], list[str]]) -> EngineState:
        day = a_day()
        day.last(58, BAD)
        for (reading, elapsed), kind in zip(parts[0], [*parts[1], *[""] * 60], strict=False):
            day.look(reading, elapsed=elapsed)
            if kind and day.state.alerts:
                day.act(kind, next(iter(day.state.alerts)))
        return day.state

    acts = st.lists(st.sampled_from(["acknowledge", "escalate", ""]), max_size=5)
    return st.tuples(days.map(lambda steps: steps[:15]), acts).map(state)


@settings(max_examples=15, deadline=None)
@given(versions(), versions(), versions())
def test_versions_of_a_state_merge_in_any_order(a: EngineState, b: EngineState, c: EngineState) -> None:
    assert a.merged(a).alerts == a.alerts
    assert a.merged(b).alerts == b.merged(a).alerts
    assert a.merged(b).merged(c).alerts == a.merged(b.merged(c)).alerts


def test_an_acknowledgement_made_in_either_place_is_kept() -> None:
    day = a_day()
    day.last(70, BAD)
    other = Day(day.rules, day.state, day.now)
    day.act("acknowledge")
    other.last(400, BAD)
    assert [alert.state for alert in other.state.alerts.values()] == ["escalated"]

    merged = other.state.merged(day.state)
    (alert,) = merged.alerts.values()
    assert alert.state == "acknowledged"
    assert {receiver.person for receiver in alert.told} == {"ada", "ben"}


def test_two_engines_that_began_apart_agree_on_the_earlier_beginning() -> None:
    one = Alert("f", "r", (), 1, NOON, held=5.0, reading=BAD, fired_at=NOON, fired_with=BAD)
    later = accuracy(0.6, at=NOON + 9)
    other = Alert("f", "r", (), 1, NOON + 8, held=9.0, reading=later, fired_at=NOON + 9, fired_with=later)
    assert one.merged(other) == other.merged(one)
    both = one.merged(other)
    assert (both.opened, both.held, both.fired_with, both.reading) == (NOON, 9.0, BAD, later)


def test_what_has_left_the_service_ends_and_opens_nothing() -> None:
    day = a_day()
    gone = replace(accuracy(None), over=True, text="demur:1 answers nothing any more")
    day.look(gone)
    assert day.state.alerts == {}
    day.last(10, BAD)
    day.look(gone)
    assert day.alert.state == "resolved"
    day.last(70, BAD)
    day.last(50, gone)
    # The only service that has it may be starting anew.
    day.last(2, BAD)
    day.last(58, gone)
    assert day.alert.state == "firing"
    day.look(gone)
    assert day.alert.state == "resolved"


def test_labels_give_a_fingerprint_whatever_their_order() -> None:
    one, other = labels_of({"a": "1", "b": "2"}), labels_of({"b": "2", "a": "1"})
    assert fingerprint_of("r", one) == fingerprint_of("r", other)
    assert fingerprint_of("r", one) != fingerprint_of("r", labels_of({"a": "1", "b": "3"}))
    assert fingerprint_of("r", one) != fingerprint_of("s", one)


def test_acts_are_applied_once_and_only_the_latest_are_kept() -> None:
    alert = Alert("f", "r", (), 1, NOON, fired_at=NOON)
    state = EngineState(alerts={"f": alert})
    day = Day(a_file(), state)
    for _ in range(70):
        day.act("acknowledge", "f")
    again = day.state.with_acts(day.state.alerts["f"].acts, NOON)
    assert again == day.state
    assert len(again.alerts["f"].acts) == 50
    assert replace(again, acts=0) != day.state


def failing(value: float | None, service: str) -> Reading:
    """A reading of the errors of a service."""
    labels = labels_of({"service": service})
    return Reading("error_share", labels, value, value, value, 100, None, NOON, f"{value} failed")


def test_a_service_that_never_returns_is_said_and_after_a_day_its_alerts_end() -> None:
    day = Day(
        a_file(("signal: accuracy\n    below: 0.8", "signal: error_share\n    above: 0.5"), ("0.85", "0.4"))
    )
    day.last(70, failing(0.9, "a:8000"), failing(0.0, "b:8000"))
    day.last(1000, failing(0.0, "b:8000"))
    lost, silent = sorted(day.state.alerts.values(), key=lambda one: one.rule)
    assert (lost.rule, lost.active, silent.rule, silent.active) == (
        "accuracy-low",
        True,
        "signal-silent",
        True,
    )
    assert silent.reading is not None
    assert "its alert stands as it was then" in silent.reading.text
    assert "(no data for 16m)" in line_of(lost, day.rules).text

    for _ in range(25):
        day.look(failing(0.0, "b:8000"), elapsed=3600.0)
    alerts = {one.rule: one for one in day.state.alerts.values()}
    assert not any(one.active for one in alerts.values())
    text = line_of(alerts["accuracy-low"], day.rules).text
    assert "0.9 failed (ended, since nothing has been heard of a:8000 for a day" in text
    assert "resolved ada" in day.told()


def test_a_service_that_is_heard_of_keeps_its_alerts_however_long_one_signal_is_away() -> None:
    day = Day(
        a_file(("signal: accuracy\n    below: 0.8", "signal: error_share\n    above: 0.5"), ("0.85", "0.4"))
    )
    day.last(70, failing(0.9, "a:8000"))
    other = Reading("latency", labels_of({"service": "a:8000"}), 0.1, None, None, 1, None, NOON, "fast")
    for _ in range(48):
        day.look(other, elapsed=3600.0)
    assert {one.rule: one.active for one in day.state.alerts.values()}["accuracy-low"]
