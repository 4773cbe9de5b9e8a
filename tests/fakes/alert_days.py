"""Rules, readings and a clock for tests of the alerts: days of a service, evaluated step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitoring.alerts.alert import Act, Alert
from monitoring.alerts.dispatch import dispatch
from monitoring.alerts.engine_state import EngineState, Outgoing
from monitoring.alerts.evaluation import Moment, evaluate
from monitoring.alerts.rule_file import rules_of
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.signals import Reading, labels_of

NOON = 1_764_590_400.0
"""1 December 2025, 12:00 UTC"""

FILE = """
people:
  ada: {email: ada@example.org}
  ben: {email: ben@example.org}
channels:
  mail: {kind: email, host: localhost, security: none, from: demur@example.org}
ladders:
  duty:
    steps:
      - {person: ada, channel: mail}
      - {wait: 5m, person: ben, channel: mail}
defaults: {ladder: duty, repeat: 1h}
rules:
  - name: accuracy-low
    signal: accuracy
    below: 0.8
    of: high
    for: 1m
    resolve: 0.85
    resolve_after: 30s
    action: Look at the labels.
"""


def a_file(*replacements: tuple[str, str], more: str = "") -> AlertRules:
    """The rules of `FILE`, with some text replaced and some appended."""
    text = FILE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return rules_of(text + more, Path("alerts.yaml"), {})


def accuracy(value: float | None, bundle: str = "demur:1", at: float = NOON) -> Reading:
    """A reading of the accuracy of a bundle, with an interval of one point on each side."""
    low, high = (None, None) if value is None else (value - 0.01, value + 0.01)
    labels = labels_of({"bundle": bundle, "window": "100"})
    return Reading("accuracy", labels, value, low, high, 100, None, at, f"accuracy {value}")


@dataclass
class Day:
    """A service whose readings are evaluated every two seconds, unless a test says otherwise."""

    rules: AlertRules
    state: EngineState = field(default_factory=EngineState)
    now: float = NOON
    sent: list[Outgoing] = field(default_factory=list)

    def look(self, *readings: Reading, elapsed: float = 2.0, moves: float | None = None) -> None:
        """One evaluation, `elapsed` seconds after the one before, by a clock that `moves`."""
        self.now += elapsed if moves is None else moves
        moment = Moment(self.now, elapsed)
        self.state = dispatch(evaluate(self.state, self.rules, readings, moment), self.rules, moment)
        self.sent += self.state.outgoing.values()
        self.state = EngineState.from_json(self.state.to_json())  # Whatever is not kept is lost.
        self.state = replace(self.state, outgoing={})

    def last(self, seconds: float, *readings: Reading) -> None:
        """Evaluations over so many seconds, with the same readings."""
        step = 2.0 if seconds < 700 else 10.0
        for _ in range(round(seconds / step)):
            self.look(*readings, elapsed=step)

    def act(self, kind: str, subject: str | None = None, name: str = "Ada", document: str = "") -> None:
        """What a person does, by default with the only alert."""
        number = len(self.state.applied)
        about = subject or self.alert.fingerprint
        act = Act(f"act-{number}", kind, about, name, "seen", self.now, document=document)  # type: ignore[arg-type]
        self.state = self.state.with_acts((act,), self.now)

    @property
    def alert(self) -> Alert:
        """The only alert."""
        (alert,) = self.state.alerts.values()
        return alert

    def told(self, kind: str | None = None) -> list[str]:
        """Who was told, in order, by `kind person`."""
        return [
            f"{one.message.kind} {one.receiver.person}"
            for one in self.sent
            if kind in (None, one.message.kind)
        ]

    def ids(self) -> Iterable[str]:
        """Ids of the messages."""
        return [one.message.id for one in self.sent]
