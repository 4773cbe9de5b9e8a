"""Alerts of services under a fault: what a receiver was told, and what it should have been told.

One alert is true from the first prediction on to the end (`standing`), so it must be told once, must survive
the fault, and must never be said to be over. Every other one but those that the fault explains is false.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fakes.http_receiver import HttpReceiver, answers, http_receiver

STANDING: Final = "standing"
RULES: Final = """
channels: {room: {kind: webhook, url: "${ALERT_URL}", secret: "${ALERT_SECRET}"}}
ladders: {duty: {steps: [{channel: room}]}}
defaults: {ladder: duty, repeat: 1d}
built_in: true
rules:
  - {name: standing, signal: coverage, labels: {window: "100"}, above: 0}
  - {name: store-away, signal: store_away, above: 0.5, for: 6s, resolve_after: 4s, group_by: [rule, service]}
  - {name: event-log-failing, signal: event_log_failing, above: 0.5, for: 2s, resolve_after: 4s}
"""
"""The two last ones are quicker than the built-in ones, so that a short fault trips them"""


@dataclass(frozen=True, slots=True)
class Told:
    """What the receiver was told during one row."""

    messages: int
    lost: int
    """1 if the standing alert was not told"""
    twice: int
    """Messages that came more than once, with the same id"""
    repeated: int
    """Further messages that said, under another id, that the standing alert fires"""
    false_alarms: tuple[str, ...]
    """Rules that nothing explains"""
    wrong_resolves: tuple[str, ...]
    """Rules said to be over that are not"""
    of_the_fault: Mapping[str, int]
    """Messages of the rules that the fault explains, by kind"""
    missed: tuple[str, ...]
    """Rules that the fault must trip, of which no message came, or none of the end"""

    @property
    def faults(self) -> list[str]:
        """In words."""
        found = ["the standing alert was told to nobody"] if self.lost else []
        found += [f"{self.repeated} further messages about the standing alert"] if self.repeated else []
        found += [f"a false alarm of {rule}" for rule in self.false_alarms]
        found += [f"{rule} was not told, or its end was not" for rule in self.missed]
        return found + [f"{rule} is not over, and was said to be" for rule in self.wrong_resolves]


class AlertWatch:
    """A receiver of the alerts of some services."""

    def __init__(self, receiver: HttpReceiver, rules: Path) -> None:
        self._receiver = receiver
        rules.write_text(RULES)
        self.environment: Mapping[str, str] = {
            "DEMUR_ALERTS": str(rules),
            "ALERT_URL": receiver.url,
            "ALERT_SECRET": "a-secret-of-the-benchmark",
        }

    def told(self, explained: Collection[str], due: Collection[str]) -> Told:
        """What came so far. `explained`: rules that the fault of this row may trip; `due`: that it must."""
        bodies: list[dict[str, Any]] = [one.json() for one in self._receiver.requests]
        times = Counter(body["id"] for body in bodies)
        once = {body["id"]: body for body in bodies}.values()
        lines = [(body["kind"], line["rule"]) for body in once for line in body["alerts"]]
        firing = [rule for kind, rule in lines if kind == "firing"]
        over = [rule for kind, rule in lines if kind == "resolved"]
        return Told(
            messages=len(once),
            lost=int(STANDING not in firing),
            twice=sum(count - 1 for count in times.values()),
            repeated=max(0, firing.count(STANDING) - 1),
            false_alarms=tuple(sorted({rule for rule in firing if rule not in (STANDING, *explained)})),
            wrong_resolves=tuple(rule for rule in over if rule == STANDING),
            of_the_fault=Counter(kind for kind, rule in lines if rule in explained),
            missed=tuple(rule for rule in due if rule not in firing or rule not in over),
        )


@contextmanager
def alert_watch(folder: Path) -> Iterator[AlertWatch]:
    """A receiver, and the rules of its services in `folder`."""
    with http_receiver(answers()) as receiver:
        yield AlertWatch(receiver, folder / "alerts.yaml")
