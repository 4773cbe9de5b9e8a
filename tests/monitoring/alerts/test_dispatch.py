"""Who is told what and when: ladder, groups, silences, quiet hours, budget and reminders."""

from __future__ import annotations

import json

from fakes.alert_days import NOON, Day, a_file, accuracy

from monitoring.alerts.silence import Silence

BAD, GOOD = accuracy(0.7), accuracy(0.95)


def a_firing_day(*replacements: tuple[str, str], more: str = "") -> Day:
    day = Day(a_file(*replacements, more=more))
    day.last(66, BAD)
    return day


def silence(day: Day, seconds: float, **matchers: str) -> str:
    one = Silence("s-1", tuple(sorted(matchers.items())), day.now, day.now + seconds, "Ada", "works on it")
    day.act("silence", one.id, document=json.dumps(one.to_dict()))
    return one.id


def test_the_ladder_is_climbed_until_somebody_acknowledges() -> None:
    day = a_firing_day()
    assert day.told() == ["firing ada"]
    day.last(290, BAD)
    assert day.told() == ["firing ada"]
    day.last(20, BAD)
    assert day.told() == ["firing ada", "escalated ben"]
    assert day.alert.state == "escalated"

    day.act("acknowledge")
    day.last(20_000, BAD)
    assert day.told() == ["firing ada", "escalated ben"]
    assert day.alert.state == "acknowledged"


def test_an_acknowledgement_stops_the_ladder_and_an_escalation_climbs_at_once() -> None:
    day = a_firing_day()
    day.act("acknowledge")
    day.last(600, BAD)
    assert day.told() == ["firing ada"]

    day.act("escalate", name="Ben")
    day.look(BAD)
    assert day.told() == ["firing ada", "escalated ben"]
    assert day.alert.state == "escalated"
    assert [(act.kind, act.name) for act in day.alert.acts] == [("acknowledge", "Ada"), ("escalate", "Ben")]


def test_who_acknowledges_what_was_just_escalated_ends_the_ladder() -> None:
    day = a_firing_day()
    day.act("escalate")
    day.act("acknowledge")
    day.last(600, BAD)
    assert day.told() == ["firing ada"]


def test_only_those_who_were_told_hear_of_the_end_and_what_it_was_about() -> None:
    day = a_firing_day()
    day.last(40, GOOD)
    assert day.told() == ["firing ada", "resolved ada"]
    (line,) = day.sent[-1].message.alerts
    assert line.state == "resolved"
    assert line.value == 0.7
    assert line.text == "accuracy 0.7"
    assert line.action == "Look at the labels."
    day.last(600, GOOD)
    assert len(day.sent) == 2


def test_nobody_hears_of_the_end_of_what_nobody_was_told() -> None:
    day = Day(a_file())
    silence(day, 3600, rule="accuracy-low")
    day.last(70, BAD)
    day.last(40, GOOD)
    day.last(7200, GOOD)
    assert day.sent == []


def test_what_still_fires_when_a_silence_ends_is_told_again() -> None:
    day = a_firing_day()
    silence(day, 1800, bundle="demur:*")
    day.last(1700, BAD)
    assert day.told() == ["firing ada"]
    day.last(110, BAD)
    assert day.told() == ["firing ada", "silence-ended ada"]
    day.last(310, BAD)
    assert day.told() == ["firing ada", "silence-ended ada", "escalated ben"]


def test_a_silence_that_a_person_ends_early_ends() -> None:
    day = Day(a_file())
    name = silence(day, 36_000, rule="accuracy-low")
    day.last(80, BAD)
    assert day.sent == []
    day.act("end-silence", name)
    day.last(4, BAD)
    assert day.told() == ["silence-ended ada"]


def test_the_end_of_what_was_told_waits_for_the_end_of_a_silence() -> None:
    day = a_firing_day()
    silence(day, 600, rule="*")
    day.last(40, GOOD)
    assert day.told() == ["firing ada"]
    day.last(600, GOOD)
    assert day.told() == ["firing ada", "resolved ada"]


def test_what_nobody_acknowledges_is_repeated_to_those_who_were_told() -> None:
    day = a_firing_day()
    day.last(8000, BAD)
    assert day.told("reminder") == ["reminder ada", "reminder ben"] * 2
    assert len(set(day.ids())) == len(day.sent)


def test_alerts_of_a_group_are_one_message() -> None:
    by_rule = ("    for: 1m\n", "    for: 1m\n    group_by: [rule]\n")
    day = Day(a_file(by_rule))
    day.last(2, BAD)
    day.last(70, BAD, *(accuracy(0.7, f"demur:{number}") for number in range(2, 12)))
    assert day.told() == ["firing ada"]
    assert len(day.sent[0].message.alerts) == 11
    assert day.sent[0].message.title == "[FIRING] 11 alerts: accuracy-low"


def test_other_alerts_wait_in_quiet_hours_and_critical_ones_do_not() -> None:
    night = 'quiet_hours: [{from: "12:00", to: "13:00"}]\n'
    day = a_firing_day(more=night)
    day.last(1000, BAD)
    assert day.sent == []
    day.now = NOON + 3602
    day.look(BAD)
    day.look(BAD)
    assert day.told() == ["firing ada"]

    critical = a_firing_day(("    for: 1m\n", "    for: 1m\n    severity: critical\n"), more=night)
    assert critical.told() == ["firing ada"]


def test_beyond_the_budget_there_is_one_summary_and_the_rest_comes_later() -> None:
    day = Day(a_file(more="budget: {per_hour: 3}\n"))
    first = [accuracy(0.7, f"demur:{number}") for number in range(10)]
    day.last(70, *first)
    assert day.told() == ["firing ada"] * 3 + ["summary ada"]
    assert len(day.sent[-1].message.alerts) == 7

    later = [accuracy(0.7, f"demur:{number}") for number in range(10, 12)]
    day.last(200, *first, *later)
    assert day.told() == ["firing ada"] * 3 + ["summary ada"]
    day.last(3600, *first, *later)
    about = {line.labels for one in day.sent for line in one.message.alerts}
    assert len(about) == 12


def test_a_message_has_the_same_id_whoever_computes_it() -> None:
    one, other = a_firing_day(), a_firing_day()
    assert list(one.ids()) == list(other.ids())
    one.last(40, GOOD)
    one.last(80, BAD)
    assert len(set(one.ids())) == 3
