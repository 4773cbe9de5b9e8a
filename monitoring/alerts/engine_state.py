"""State of the engine: alerts, silences, what is about to be sent; one frozen value that merges and saves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self, TypeVar

from monitoring.alerts.alert import Act, Alert, Receiver
from monitoring.alerts.message import Message, MessageUnreadable
from monitoring.alerts.silence import Silence
from monitoring.errors import MonitoringError
from monitoring.formats import FormatTooNew, known, require_format

_APPLIED_KEPT: Final = 1000
_HOUR: Final = 3600.0

_Value = TypeVar("_Value")


class AlertStateUnreadable(MonitoringError):
    """A document is no state of the alert engine."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is told as soon as this state is kept."""

    message: Message
    receiver: Receiver


@dataclass(frozen=True, slots=True)
class EngineState:
    """Everything that the engine must not forget."""

    alerts: Mapping[str, Alert] = field(default_factory=dict)
    """By fingerprint"""
    silences: Mapping[str, Silence] = field(default_factory=dict)
    """By id"""
    applied: tuple[str, ...] = ()
    """Ids of the acts that were applied, the latest at the end"""
    acts: int = 0
    """Number of the latest act"""
    outgoing: Mapping[str, Outgoing] = field(default_factory=dict)
    """By id of the message and receiver: kept with `told`, so that a kill between the two loses nothing"""
    sent: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Receiver -> seconds since each message to it in the last hour"""
    silent: Mapping[str, float] = field(default_factory=dict)
    """Fingerprint of what had data once -> seconds without"""
    evaluated_at: float | None = None
    """Unix time of the last completed evaluation"""

    def merged(self, other: EngineState) -> EngineState:
        """Both versions in one; nothing of either is lost."""
        applied = dict.fromkeys((*self.applied, *other.applied))
        return EngineState(
            alerts=_joined(self.alerts, other.alerts, Alert.merged),
            silences=_joined(self.silences, other.silences, Silence.merged),
            applied=tuple(sorted(applied))[-_APPLIED_KEPT:],
            acts=max(self.acts, other.acts),
            outgoing={**self.outgoing, **other.outgoing},
            sent=_joined(self.sent, other.sent, max),
            silent=_joined(self.silent, other.silent, min),
            evaluated_at=max(filter(None, (self.evaluated_at, other.evaluated_at)), default=None),
        )

    def with_acts(self, acts: tuple[Act, ...], now: float) -> EngineState:
        """With what people have done, each act once and in the order of their times."""
        state = self
        for act in sorted(acts, key=lambda one: (one.at, one.id)):
            if act.id not in state.applied:
                numbered = replace(act, number=state.acts + 1)
                applied = (*state.applied, act.id)[-_APPLIED_KEPT:]
                state = replace(state._with_act(numbered, now), acts=numbered.number, applied=applied)
        return state

    def _with_act(self, act: Act, now: float) -> EngineState:
        if act.kind == "join":
            with suppress(AlertStateUnreadable, FormatTooNew):
                return self.merged(EngineState.from_json(act.document.encode()))
            return self
        if act.kind == "silence":
            silence = Silence.from_dict(json.loads(act.document))
            return replace(self, silences={**self.silences, silence.id: silence})
        if act.kind == "end-silence":
            ended = self.silences.get(act.subject)
            more = {} if ended is None else {act.subject: ended.ended(now, act.name)}
            return replace(self, silences={**self.silences, **more})
        alert = self.alerts.get(act.subject)
        if alert is None or not alert.active:
            return self
        alert = alert.with_act(act)
        if act.kind == "escalate":
            alert = replace(alert, waited=float("1e9"))  # The next step is due at once.
        elif act.kind == "resolve":
            alert = replace(alert, resolved_at=now, cleared=0.0)
        return replace(self, alerts={**self.alerts, act.subject: alert})

    def aged(self, elapsed: float) -> Mapping[str, tuple[float, ...]]:
        """`sent` a moment later, without what is older than an hour."""
        older = {who: tuple(age + elapsed for age in ages) for who, ages in self.sent.items()}
        kept = {who: tuple(age for age in ages if age < _HOUR) for who, ages in older.items()}
        return {who: ages for who, ages in kept.items() if ages}

    def to_json(self) -> bytes:
        """The document; `from_json` is the inverse."""
        values = {
            "alerts": [alert.to_dict() for alert in self.alerts.values()],
            "silences": [silence.to_dict() for silence in self.silences.values()],
            "outgoing": [
                {"message": json.loads(one.message.to_json()), "receiver": asdict(one.receiver)}
                for one in self.outgoing.values()
            ],
            **{name: getattr(self, name) for name in _PLAIN},
        }
        return json.dumps(values, sort_keys=True).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Raises AlertStateUnreadable, and FormatTooNew for the state of a later version."""
        try:
            values = json.loads(document)
            require_format(values, "the state of the alerts")
            alerts = [Alert.from_dict(one) for one in values["alerts"]]
            silences = [Silence.from_dict(one) for one in values["silences"]]
            outgoing = [_outgoing(one) for one in values["outgoing"]]
            plain: dict[str, Any] = {name: values[name] for name in _PLAIN}
            plain["applied"] = tuple(plain["applied"])
            plain["sent"] = {who: tuple(ages) for who, ages in plain["sent"].items()}
            return cls(
                alerts={alert.fingerprint: alert for alert in alerts},
                silences={silence.id: silence for silence in silences},
                outgoing={key_of(one): one for one in outgoing},
                **plain,
            )
        except (ValueError, TypeError, KeyError, AttributeError, MessageUnreadable) as error:
            raise AlertStateUnreadable(f"it is no state of the alert engine: {error}") from None


_PLAIN: Final = ("applied", "acts", "sent", "silent", "evaluated_at")


def key_of(one: Outgoing) -> str:
    """Key of a message to one receiver."""
    return f"{one.message.id} {one.receiver.channel} {one.receiver.to}"


def _outgoing(values: Mapping[str, Any]) -> Outgoing:
    return Outgoing(
        Message.from_json(json.dumps(values["message"])), Receiver(**known(Receiver, values["receiver"]))
    )


def _joined(
    one: Mapping[str, _Value], other: Mapping[str, _Value], join: Callable[[_Value, _Value], _Value]
) -> dict[str, _Value]:
    both = {**one, **other}
    return {**both, **{name: join(one[name], other[name]) for name in one.keys() & other.keys()}}
