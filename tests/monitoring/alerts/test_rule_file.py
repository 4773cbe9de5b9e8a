"""A rules file: what it means, and all of its faults at once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from fakes.alert_days import FILE, NOON, a_file, accuracy
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.alerts.default_rules import DEFAULT_RULES
from monitoring.alerts.dispatch import receiver_of
from monitoring.alerts.durations import in_words, read_duration
from monitoring.alerts.quiet_hours import QuietHours
from monitoring.alerts.rule_file import RulesUnreadable, built_in_rules, read_rules, rules_of
from monitoring.alerts.rules import Rule
from monitoring.alerts.wording import ladders_in_words, options_in_words, rules_in_words

FAULTY = """\
people:
  ada: {email: ada@example.org}
  ben: {phone: abc}
channels:
  mail: {kind: email, host: smtp.example.org, from: demur@example.org, password: hunter2, user: x}
  text: {kind: sms, account: AC1, token: "${NOPE}", from: "+491701234567"}
ladders:
  duty:
    steps:
      - {wait: 0s, chanel: ops}
      - {wait: 5 minutes, person: cleo, channel: mail}
    then: night
  night:
    steps: [{channel: text}]
    repeat: forever
    then: duty
defaults: {ladder: day}
rules:
  - {name: a, signal: promise_brokn, above: 2}
  - {name: b, signal: accuracy, below: 1.5, of: low, for: 10}
  - {name: b, signal: accuracy, below: 0.9, resolve: 0.8}
  - {name: c, signal: accuracy, below: 0.9, labels: {experiment: x}}
  - {name: d, signal: accuracy, above: .inf, runbok: x}
  - {name: e, signal: events_waiting, above: 1, of: low}
  - {name: f, signal: accuracy}
quiet_hours: [{from: 22:00, to: "07:00", zone: Mars/City}]
colour: red
budget: {per_hour: 0}
budget: {per_hour: 5}
heartbeat: {url: "http://user:pw@x/"}
"""
EXPECTED = """\
3 people.ben.phone|country
5 channels.mail.password|a secret is written out
6 channels.text.token|NOPE is not set
10 ladders.duty.steps[0]|channel is missing
10 ladders.duty.steps[0].chanel|did you mean channel
11 ladders.duty.steps[1].person|the people are ada, ben
11 ladders.duty.steps[1].wait|it is '5 minutes': it must be a duration, as 30s
12 ladders.duty.then|the ladder has no end: duty -> night -> duty
14 ladders.night.steps[0]|needs somebody's phone
15 ladders.night.repeat|whole|integer
16 ladders.night.then|no end
17 defaults.ladder|the ladders are duty, night
19 rules[0].signal|the signals are promise_broken
20 rules[1]|below is 1.5; accuracy (share) lies from 0 to 1
20 rules[1].for|it is 10
20 rules[1].name|several rules
21 rules[2]|resolve is 0.8; it must be at or above
21 rules[2].name|several rules
22 rules[3]|have bundle, window
23 rules[4].above|finite
23 rules[4].runbok|did you mean runbook
24 rules[5]|has no interval
25 rules[6]|give one of above and below
26 quiet_hours[0].from|in quotes
26 quiet_hours[0].zone|Europe/Berlin
27 colour|one of people
29 budget|line 28
30 heartbeat.url|before the host
"""


def faults_of(text: str) -> RulesUnreadable:
    with pytest.raises(RulesUnreadable) as raised:
        rules_of(text, Path("alerts.yaml"), {})
    return raised.value


def test_all_faults_are_named_at_once_with_line_field_and_way_out() -> None:
    found = [(f"{one.line} {one.field}", one.why) for one in faults_of(FAULTY).faults]
    expected = [tuple(line.split("|", 1)) for line in EXPECTED.splitlines()]
    assert [place for place, _ in found] == [place for place, _ in expected]
    for (place, why), (_, words) in zip(found, expected, strict=True):
        assert any(word in why for word in words.split("|")), (place, why)
    assert "hunter2" not in str(faults_of(FAULTY))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("rules: [", 1, "no YAML"),
        ("rules:\n  - {url: ${X}}", 2, "needs quotes"),
        ("a: &x [1]\nrules: *x", 2, "alias"),
        ("- 1", 1, "the file must hold people"),
        ("rules: 7", 1, "must be a list"),
        ("people: 7", 1, "must hold names"),
        ("people: {Ada Lovelace: {}}", 1, "no name"),
        ("channels: {x: {kind: pigeon}}", 1, "kind"),
        ("ladders: {x: {steps: []}}", 1, "at least 1"),
        ("built_in: maybe", 1, "true or false"),
        ("silent_after: 3", 1, "duration"),
        ("a: " + "[" * 50 + "]" * 50, 1, "nested"),
        ("rules: [null, 7, []]", 1, ""),
        ("rules:\n  - {name: x, signal: [], above: {}}", 2, ""),
        ("ladders: {x: {steps: [{channel: [1], person: {}}], then: [x]}}\ndefaults: {ladder: {}}", 1, ""),
        ("\x00", 1, "no YAML"),
    ],
)
def test_anything_else_is_refused_in_words(text: str, line: int, words: str) -> None:
    error = faults_of(text)
    assert error.faults[0].line == line
    assert words in str(error)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    for content in (None, b"\xff\xfe", b"#" * (2**20 + 1)):
        path = tmp_path / "alerts.yaml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RulesUnreadable, match=r"cannot be read|1,048,576 bytes"):
            read_rules(path)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_no_text_gives_anything_but_rules_or_faults(text: str) -> None:
    for one in (text, f"rules: [{text}]", f"people: {text}"):
        with suppress(RulesUnreadable):
            assert rules_of(one, Path("alerts.yaml"), {}).rules


def test_built_in_rules_apply_where_a_file_names_none_or_asks_for_them() -> None:
    names = {rule.name for rule in DEFAULT_RULES} | {"signal-silent", "rules-refused"}
    assert {rule.name for rule in built_in_rules().rules} == names
    assert {rule.name for rule in rules_of("", Path("f"), {}).rules} == names
    assert {rule.name for rule in a_file().rules} == {"accuracy-low", "signal-silent", "rules-refused"}
    both = a_file(more="built_in: true\n")
    assert {rule.name for rule in both.rules} == {"accuracy-low", *names}
    own = rules_of("built_in: true\nrules: [{name: drift, signal: drift, above: 0.9}]", Path("f"), {})
    assert [rule.above for rule in own.rules if rule.name == "drift"] == [0.9]


def test_a_ladder_is_climbed_again_and_followed_by_another_one() -> None:
    rules = a_file(
        ("    steps:\n", "    repeat: 1\n    then: late\n    steps:\n"),
        ("defaults:", "  late: {steps: [{wait: 1h, person: ada, channel: mail}]}\ndefaults:"),
    )
    steps = rules.steps(rules.rules[0])
    assert [step.person for step in steps] == ["ada", "ben", "ada", "ben", "ada"]
    assert receiver_of(steps[1], rules).to == "ben@example.org"


def test_a_rule_and_a_reading_give_a_verdict() -> None:
    rule = a_file().rules[0]
    verdicts = [rule.verdict(accuracy(value)) for value in (0.78, 0.79, 0.8, 0.84, 0.85, None)]
    assert verdicts == ["bad", "between", "between", "good", "good", "no data"]
    assert rule.verdict(accuracy(float("nan"))) == "no data"
    up = Rule.model_validate({"name": "x", "signal": "latency", "above": 2, "resolve": 1})
    assert up.condition() == "latency is above 2"


def test_quiet_hours_may_lie_over_midnight_and_belong_to_the_day_on_which_they_begin() -> None:
    hours = QuietHours.model_validate({"from": "22:00", "to": "07:00", "days": ["mon"]})
    monday = NOON  # 1 December 2025
    times = {11: True, 9.9: False, 15: True, 19.1: False, 24 + 11: False, -9: False}
    for later, quiet in times.items():
        assert hours.hold("warning", monday + 3600 * later) is quiet, later
    assert not hours.hold("critical", monday + 3600 * 11)


def test_durations_survive_words() -> None:
    for text in ("0s", "30s", "5m", "1h30m", "2d", "1d2h3m4s"):
        assert in_words(read_duration(text)) == text


def test_what_is_told_to_whom_is_said_in_words() -> None:
    rules = rules_of(FILE, Path("f"), {})
    said = "\n".join([*rules_in_words(rules), *ladders_in_words(rules), *options_in_words(rules)])
    assert "accuracy-low (warning): fires when the high end of accuracy is below 0.8 for 1m" in said
    assert "Ladder duty: at once ada by mail, then after 5m ben by mail, until somebody acknowledges" in said
    assert "No heartbeat" in said
