"""Alert: one rule over one set of labels, from the first sign of a fault to its end.

The state is derived from what is kept, and two versions of an alert merge into one in which nothing of either
is lost, in any order and any number of times. So an engine that was cut off from the store, and the one that
went on, join without a vote.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal, Self

from monitoring.alerts.message import AlertState
from monitoring.alerts.signals import Labels, Reading
from monitoring.formats import known

ActKind = Literal["acknowledge", "escalate", "resolve", "silence", "end-silence", "join"]

_ACTS_KEPT: Final = 50
_TOLD_KEPT: Final = 200


@dataclass(frozen=True, slots=True)
class Act:
    """What a person has done, kept with who, why and when."""

    id: str
    kind: ActKind
    subject: str
    """Fingerprint of the alert, or id of the silence"""
    name: str
    reason: str
    at: float
    """Unix time, seconds"""
    number: int = 0
    """Order in which the engine has applied them"""
    document: str = ""
    """Of a silence: the silence itself; of an engine that was cut off and joins: its state; as JSON"""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a message goes."""

    channel: str
    """Name of the channel in the rules"""
    to: str = ""
    """Address or number, in channels where a person has one"""
    person: str = ""
    """Name of the person in the rules; empty for a channel with one receiver"""

    @property
    def who(self) -> str:
        """For people: the person, or the channel."""
        return f"{self.person} by {self.channel}" if self.person else self.channel


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; times in Unix seconds, durations in seconds of the engine's own clock."""

    fingerprint: str
    rule: str
    labels: Labels
    episode: int
    """Number of this fault among those of its fingerprint"""
    opened: float
    """When its condition was first seen"""
    held: float = 0.0
    """For how long the condition has been seen to hold"""
    cleared: float = 0.0
    """For how long the value has been on the good side of the level that resolves it"""
    unseen: float = 0.0
    """For how long there has been no data"""
    wait: float = 0.0
    """Least `held` at which it fires; longer than the rule's after a person has resolved it"""
    fired_at: float | None = None
    resolved_at: float | None = None
    reading: Reading | None = None
    """The latest one with data"""
    fired_with: Reading | None = None
    """The one with which it fired: what it was about"""
    rung: int = 0
    """Steps of the ladder that were told"""
    waited: float = 0.0
    """For how long it has waited since the last step"""
    untold: float = 0.0
    """For how long nobody has been told"""
    reminders: int = 0
    silenced: str | None = None
    """Id of the silence that has kept it quiet"""
    told: tuple[Receiver, ...] = ()
    """Those who were told that it fires"""
    closed: tuple[Receiver, ...] = ()
    """Those who were told that it is resolved"""
    acts: tuple[Act, ...] = ()

    @property
    def state(self) -> AlertState:
        """What the alert is now."""
        if self.resolved_at is not None:
            return "resolved"
        if self.fired_at is None:
            return "pending"
        last = self.acts[-1].kind if self.acts else None
        if last == "acknowledge":
            return "acknowledged"
        return "escalated" if last == "escalate" or self.rung > 1 else "firing"

    @property
    def active(self) -> bool:
        """Whether it has fired and is not resolved."""
        return self.fired_at is not None and self.resolved_at is None

    def label(self, name: str) -> str:
        """The value of a label; empty without it."""
        return dict(self.labels).get(name, "")

    def with_act(self, act: Act) -> Alert:
        """With what a person has done; of no effect if it is known."""
        if any(one.id == act.id for one in self.acts):
            return self
        return replace(self, acts=_bounded((*self.acts, act)))

    def told_to(self, *receivers: Receiver) -> Alert:
        """With further people who were told that it fires."""
        return replace(self, told=_union(self.told, receivers), untold=0.0)

    def merged(self, other: Alert) -> Alert:
        """Both versions in one: of two episodes the later one, of one episode all that is known of it."""
        if self.episode != other.episode:
            return max(self, other, key=lambda one: one.episode)
        first, second = sorted((self, other), key=lambda one: (one.opened, repr(one)))
        return replace(
            first,
            held=max(first.held, second.held),
            cleared=max(first.cleared, second.cleared),
            unseen=min(first.unseen, second.unseen),
            wait=max(first.wait, second.wait),
            fired_at=_earlier(first.fired_at, second.fired_at),
            resolved_at=_earlier(first.resolved_at, second.resolved_at),
            reading=_later(first.reading, second.reading),
            fired_with=_sooner(first.fired_with, second.fired_with),
            rung=max(first.rung, second.rung),
            waited=min(first.waited, second.waited),
            untold=min(first.untold, second.untold),
            reminders=max(first.reminders, second.reminders),
            silenced=max(filter(None, (first.silenced, second.silenced)), default=None),
            told=_union(first.told, second.told),
            closed=_union(first.closed, second.closed),
            acts=_bounded({act.id: act for act in (*second.acts, *first.acts)}.values()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        readings = {
            name: None if one is None else one.to_dict()
            for name, one in (("reading", self.reading), ("fired_with", self.fired_with))
        }
        return {**asdict(self), **readings, "labels": dict(self.labels)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for other values."""
        readings = {
            name: None if values[name] is None else Reading.from_dict(values[name])
            for name in ("reading", "fired_with")
        }
        lists = {
            name: tuple(Receiver(**known(Receiver, one)) for one in values[name])
            for name in ("told", "closed")
        }
        acts = tuple(Act(**known(Act, act)) for act in values["acts"])
        labels = tuple(sorted(values["labels"].items()))
        return cls(**{**known(cls, values), **readings, **lists, "acts": acts, "labels": labels})


def fingerprint_of(rule: str, labels: Labels) -> str:
    """Twelve characters that stand for a rule and a set of labels, the same in every process."""
    text = "\x1f".join((rule, *(f"{name}\x1e{value}" for name, value in sorted(labels))))
    return sha256(text.encode()).hexdigest()[:12]


def _bounded(acts: Any) -> tuple[Act, ...]:
    """Acts in the order in which they were applied, the latest ones."""
    return tuple(sorted(acts, key=lambda act: (act.number, act.at, act.id)))[-_ACTS_KEPT:]


def _union(one: tuple[Receiver, ...], other: tuple[Receiver, ...]) -> tuple[Receiver, ...]:
    every = {*one, *other}
    return tuple(sorted(every, key=lambda each: (each.channel, each.to, each.person)))[:_TOLD_KEPT]


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((time for time in (one, other) if time is not None), default=None)


def _later(one: Reading | None, other: Reading | None) -> Reading | None:
    found = [reading for reading in (one, other) if reading is not None]
    return max(found, key=lambda reading: (reading.at, repr(reading)), default=None)


def _sooner(one: Reading | None, other: Reading | None) -> Reading | None:
    found = [reading for reading in (one, other) if reading is not None]
    return min(found, key=lambda reading: (reading.at, repr(reading)), default=None)
