"""Bodies of `demur alerts`: a file of rules in plain words, test messages, and the alerts of a service."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from demur.errors import InterfaceError
from monitoring.alerts.dispatch import receiver_of
from monitoring.alerts.durations import in_words
from monitoring.alerts.message import AlertLine, Message
from monitoring.alerts.notifiers.channels import channel_of
from monitoring.alerts.rule_file import built_in_rules, read_rules
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.wording import ladders_in_words, options_in_words, rules_in_words
from service.environment import with_env_file

EXAMPLE: Final = """\
# Rules of the alerts. Check it by `demur alerts check THIS_FILE`, try the channels by
# `demur alerts test THIS_FILE`, and use it by DEMUR_ALERTS=THIS_FILE.
#
# A secret is never written here: ${NAME} takes it from the environment of the service.

people:
  ada: {email: ada@example.org}
  ben: {email: ben@example.org}

channels:
  room: {kind: webhook, url: "${ALERT_WEBHOOK}", secret: "${ALERT_WEBHOOK_SECRET}"}
  mail:
    kind: email
    host: smtp.example.org
    security: starttls          # or tls, or none
    user: "${SMTP_USER}"
    password: "${SMTP_PASSWORD}"
    from: demur@example.org
  # chat: {kind: slack, url: "${SLACK_URL}"}
  # text: {kind: sms, account: "${TWILIO_ACCOUNT}", token: "${TWILIO_TOKEN}", from: "+4930123456"}

# Who is told, one after the other, until somebody acknowledges.
ladders:
  duty:
    steps:
      - {channel: room}
      - {wait: 5m, person: ada, channel: mail}
      - {wait: 15m, person: ben, channel: mail}
    repeat: 1                   # how often it is climbed again

defaults:
  ladder: duty
  repeat: 4h                    # reminders of what nobody has acknowledged

quiet_hours:                    # warnings wait; critical alerts do not
  - {from: "22:00", to: "07:00", zone: Europe/Berlin}

budget: {per_hour: 20}          # messages to one receiver; beyond it one summary

# heartbeat: {url: "${HEARTBEAT_URL}", every: 1m}

built_in: true                  # the built-in rules as well: `demur alerts list --rules`
rules:
  - name: accuracy-low
    signal: accuracy
    labels: {window: "100"}
    below: 0.9
    of: high                    # the upper end of the 95 % interval, so that chance does not ring
    for: 5m
    resolve: 0.92
    severity: warning
    action: Look at the latest labels, and at what has changed in the images.
"""


class UnknownChannel(InterfaceError, ValueError):
    """A file of rules has no channel of this name."""


class MalformedMatcher(InterfaceError, ValueError):
    """A text names no label and pattern."""


class MessagesNotDelivered(InterfaceError):
    """A channel has not taken a test message."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a test message."""

    channel: str
    to: str
    outcome: str
    detail: str
    seconds: float

    def sentence(self) -> str:
        """For people."""
        to = f" to {self.to}" if self.to else ""
        return f"{self.channel}{to}: {self.outcome} after {self.seconds:.1f} s ({self.detail})"


def rules_of(path: Path | None, env_file: Path | None) -> AlertRules:
    """The rules of a file, or the built-in ones; variables that it names may stand in `env_file`. Raises
    RulesUnreadable."""
    if path is None:
        return built_in_rules()
    return read_rules(path, dict(os.environ) if env_file is None else with_env_file(os.environ, env_file))


def rules_lines(rules: AlertRules) -> Iterator[str]:
    """Rules in plain words."""
    yield from rules_in_words(rules)
    yield ""
    yield from ladders_in_words(rules)
    yield from options_in_words(rules)


def rules_values(rules: AlertRules) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "rules": [
            {
                **rule.model_dump(by_alias=True),
                "steps": [step.model_dump() for step in rules.steps(rule)],
                "sentence": sentence,
            }
            for rule, sentence in zip(rules.rules, rules_in_words(rules), strict=True)
        ],
        "channels": {name: channel.kind for name, channel in rules.channels.items()},
        "ladders": list(ladders_in_words(rules)),
        "options": list(options_in_words(rules)),
    }


def try_channels(rules: AlertRules, only: str | None) -> Iterator[Tried]:
    """Send a test message to each receiver of each channel, or of one. Raises UnknownChannel."""
    if only is not None and only not in rules.channels:
        known = ", ".join(rules.channels) or "none"
        raise UnknownChannel(f"channel is {only!r}; the channels of the file are {known}")
    message = _test_message()
    for channel, to in _receivers(rules, only):
        began = time.monotonic()
        said = channel_of(channel, rules.channels[channel]).send(message, to)
        yield Tried(channel, to, said.outcome, said.detail, time.monotonic() - began)


def alert_lines(answer: dict[str, Any]) -> Iterator[str]:
    """The alerts of a service, one paragraph each."""
    if answer["evaluated_at"] is None:
        yield "No engine has evaluated the alerts yet."
    elif not answer["alerts"]:
        yield f"No alerts; last evaluated {_time(answer['evaluated_at'])}."
    for alert in answer["alerts"]:
        labels = ", ".join(f"{name}={value}" for name, value in alert["labels"].items())
        yield "  ".join(
            (alert["fingerprint"], alert["state"].upper(), alert["severity"], alert["rule"], labels)
        )
        yield f"    {alert['text']}"
        since = _time(alert["since"] or alert["opened"])
        told = ", ".join(alert["told"]) or "nobody"
        yield f"    since {since}; told: {told}" + ("; silenced" if alert["silenced_by"] else "")
        if alert["state"] not in ("resolved", "pending"):
            yield f"    {alert['action']} ({alert['runbook']})"
        for act in alert["acts"]:
            yield f"    {_time(act['at'])} {act['kind']} by {act['name']}: {act['reason']}"
    for silence in answer["silences"]:
        yield silence_line(silence)


def silence_line(silence: dict[str, Any]) -> str:
    """A silence in one sentence."""
    of = ", ".join(f"{name}={pattern}" for name, pattern in silence["matchers"].items())
    left = in_words(max(0.0, silence["until"] - time.time()))
    state = f"for another {left}" if silence["in_force"] else "over"
    return f"silence {silence['id']} ({of}), {state}, by {silence['name']}: {silence['reason']}"


def act_line(alert: dict[str, Any]) -> str:
    """What has become of an alert."""
    done = f"{alert['fingerprint']} ({alert['rule']}) is {alert['state']}"
    if alert["applied"]:
        return f"{done}."
    return f"{done}: it is noted, and takes effect as soon as an engine runs."


def matchers_of(texts: list[str]) -> dict[str, str]:
    """`label=pattern` texts as a mapping. Raises MalformedMatcher."""
    found = {}
    for text in texts:
        name, equals, pattern = text.partition("=")
        if not equals or not name.strip() or not pattern.strip():
            raise MalformedMatcher(
                f"{text!r} is not of the form LABEL=PATTERN, as rule=drift or bundle=demur:*"
            )
        found[name.strip()] = pattern.strip()
    return found


def _receivers(rules: AlertRules, only: str | None) -> list[tuple[str, str]]:
    """(channel, address) of everybody whom the file may tell."""
    steps = [step for ladder in rules.ladders.values() for step in ladder.steps]
    named = [receiver_of(step, rules) for step in steps]
    found = [(one.channel, one.to) for one in named if one.to]
    for name, config in rules.channels.items():
        if config.address is None or not any(channel == name for channel, _ in found):
            found += [(name, to) for to in channel_of(name, config).receivers]
    return [one for one in dict.fromkeys(found) if only in (None, one[0])]


def _test_message() -> Message:
    now = time.time()
    line = AlertLine(
        fingerprint="test",
        rule="test",
        severity="info",
        state="firing",
        labels=(("service", socket.gethostname()),),
        value=None,
        low=None,
        high=None,
        n=None,
        since=now,
        bundle=None,
        text="This is a test of the alerts of demur: nothing is wrong.",
        action="Nothing is to be done.",
        runbook="docs/alerts.md",
    )
    return Message(uuid4().hex[:24], "test", f"[TEST] alerts of {socket.gethostname()}", (line,), now)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
