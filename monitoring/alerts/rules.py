"""Rules: what is watched, who is told when, and how often; the parts of the rules file as frozen values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from monitoring.alerts.durations import Duration
from monitoring.alerts.message import Severity
from monitoring.alerts.notifiers.config import ChannelConfig, EmailAddress, PhoneNumber
from monitoring.alerts.notifiers.secrets import Url
from monitoring.alerts.signals import SIGNALS, Labels, Reading, labels_of
from monitoring.alerts.silence import matches

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Verdict = Literal["bad", "between", "good", "no data"]

_DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_PAGE: Final = re.compile(r"[a-z0-9][a-z0-9-]*|https?://\S+")
_HOUR: Final = 3600.0


def _known_signal(value: str) -> str:
    if value not in SIGNALS:
        raise PydanticCustomError(
            "signal", "there is no such signal; the signals are {names}", {"names": ", ".join(SIGNALS)}
        )
    return value


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise PydanticCustomError(
            "zone", "there is no such time zone; write one as Europe/Berlin or UTC"
        ) from None
    return value


def _known_page(value: str) -> str:
    if not _PAGE.fullmatch(value):
        raise PydanticCustomError(
            "runbook", "it must be a page of docs/runbooks, as promise-broken, or an address with https://"
        )
    return value


def _clock(value: Any) -> str:
    # YAML reads 22:00 without quotes as the number 1320.
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise PydanticCustomError("clock", 'it must be a time of day in quotes, as "22:00"')
    return value


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Pattern = Annotated[str, Field(min_length=1, max_length=300)]
Clock = Annotated[str, BeforeValidator(_clock)]
Threshold = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    # Errors of pydantic repeat their input, in which a secret may stand.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Rule(_Part):
    """One condition over one signal, and what is told about it."""

    name: Name
    signal: Annotated[str, AfterValidator(_known_signal)]
    labels: Annotated[dict[Name, Pattern], Field(max_length=10)] = Field(default_factory=dict)
    """Label -> pattern, where `*` stands for anything"""
    above: Threshold | None = None
    below: Threshold | None = None
    of: Literal["value", "low", "high"] = "value"
    """What is compared: the value, or an end of its 95 % interval"""
    hold: Annotated[Duration, Field(alias="for")] = 0.0
    """Seconds for which the condition must hold before it fires"""
    resolve: Threshold | None = None
    """Level on the good side of the threshold that the value must pass to resolve; None: the threshold"""
    resolve_after: Duration = 60.0
    """Seconds for which it must have passed it"""
    severity: Severity = "warning"
    group_by: Annotated[tuple[Name, ...], Field(max_length=10)] = ("rule", "bundle")
    ladder: Name | None = None
    repeat: Annotated[Duration, Field(ge=60)] | None = None
    """Seconds between two reminders of what nobody has acknowledged; None: the file's"""
    action: Annotated[str, Field(max_length=500)] = ""
    runbook: Annotated[str, AfterValidator(_known_page)] = ""

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise PydanticCustomError("threshold", "give one of above and below")
        kind = SIGNALS[self.signal]
        low, high = kind.range
        for name in ("above", "below", "resolve"):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise PydanticCustomError(
                    "threshold_range",
                    "{name} is {value}; {signal} ({unit}) lies from {low} to {high}",
                    {"name": name, "value": value, "signal": self.signal, "unit": kind.unit}
                    | {"low": f"{low:g}", "high": "any number" if math.isinf(high) else f"{high:g}"},
                )
        if self.of != "value" and not kind.has_interval:
            raise PydanticCustomError(
                "threshold_interval",
                "of is {of}; {signal} has no interval, so it must be value",
                {"of": self.of, "signal": self.signal},
            )
        self._check_resolve()
        self._check_labels(kind.labels)
        return self

    def _check_resolve(self) -> None:
        if self.resolve is None:
            return
        wrong = self.resolve > self.threshold if self.above is not None else self.resolve < self.threshold
        if wrong:
            raise PydanticCustomError(
                "resolve",
                "resolve is {resolve}; it must be {side} the threshold {threshold}, or it would never rest",
                {"resolve": self.resolve, "threshold": self.threshold}
                | {"side": "at or below" if self.above is not None else "at or above"},
            )

    def _check_labels(self, known: tuple[str, ...]) -> None:
        for name in self.labels:
            if name not in known:
                raise PydanticCustomError(
                    "labels",
                    "labels names {label}; readings of {signal} have {known}",
                    {"label": name, "signal": self.signal, "known": ", ".join(known)},
                )

    @property
    def threshold(self) -> float:
        """The level beyond which it fires."""
        return self.above if self.above is not None else self.below or 0.0

    def watches(self, reading: Reading) -> bool:
        """Whether it is about this reading."""
        return reading.signal == self.signal and matches(labels_of(self.labels), dict(reading.labels))

    def verdict(self, reading: Reading) -> Verdict:
        """What a reading is by this rule."""
        value = {"value": reading.value, "low": reading.low, "high": reading.high}[self.of]
        if value is None or math.isnan(value):
            return "no data"
        sign = 1.0 if self.above is not None else -1.0
        if sign * value > sign * self.threshold:
            return "bad"
        level = self.threshold if self.resolve is None else self.resolve
        return "good" if sign * value <= sign * level else "between"

    def condition(self) -> str:
        """The condition in words."""
        what = self.signal if self.of == "value" else f"the {self.of} end of {self.signal}"
        return f"{what} is {'above' if self.above is not None else 'below'} {self.threshold:g}"


class Person(_Part):
    """Somebody who can be told."""

    email: EmailAddress | None = None
    phone: PhoneNumber | None = None


class Step(_Part):
    """One step of a ladder."""

    wait: Duration = 0.0
    """Seconds since the step before it, or since the alert fired"""
    channel: Name
    person: Name | None = None


class Ladder(_Part):
    """Who is told, one after the other, until somebody acknowledges."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)]
    repeat: Annotated[int, Field(ge=0, le=10)] = 0
    """How often it is climbed again"""
    then: Name | None = None
    """Ladder that follows it"""


class QuietHours(_Part):
    """Hours in which the alerts of these severities wait."""

    begin: Annotated[Clock, Field(alias="from")]
    end: Annotated[Clock, Field(alias="to")]
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = _DAYS
    """Days on which they begin"""
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = ("warning", "info")

    def hold(self, severity: Severity, now: float) -> bool:
        """Whether an alert of this severity waits at `now`, Unix time in seconds."""
        if severity not in self.severities:
            return False
        local = datetime.fromtimestamp(now, ZoneInfo(self.zone))
        begin, end = time.fromisoformat(self.begin), time.fromisoformat(self.end)
        clock = local.time().replace(tzinfo=None)
        if begin < end:
            return begin <= clock < end and _DAYS[local.weekday()] in self.days
        # Over midnight: the hours after it belong to the day before.
        if clock >= begin:
            return _DAYS[local.weekday()] in self.days
        return clock < end and _DAYS[(local - timedelta(days=1)).weekday()] in self.days


class Budget(_Part):
    """How many messages one receiver gets; beyond it one summary, and the rest when there is room again."""

    per_hour: Annotated[int, Field(ge=1, le=1000)] = 20


class Heartbeat(_Part):
    """A sign of life to any URL; it stops when the evaluation stops."""

    url: Url
    every: Annotated[Duration, Field(ge=5, le=86_400)] = 60.0
    timeout: Annotated[float, Field(ge=0.1, le=60, allow_inf_nan=False)] = 10.0


class Defaults(_Part):
    """What rules have that do not say otherwise."""

    ladder: Name | None = None
    repeat: Annotated[Duration, Field(ge=60)] = 4 * _HOUR
    runbooks: Annotated[str, Field(max_length=500)] = "docs/runbooks/"
    """What the name of a page is appended to"""


class AlertRules(_Part):
    """A whole rules file, checked."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    rules: tuple[Rule, ...]
    people: Mapping[str, Person] = Field(default_factory=dict)
    channels: Mapping[str, ChannelConfig] = Field(default_factory=dict)
    ladders: Mapping[str, Ladder] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    quiet_hours: tuple[QuietHours, ...] = ()
    budget: Budget = Budget()
    heartbeat: Heartbeat | None = None
    silent_after: Annotated[Duration, Field(ge=60)] = 900.0
    """Seconds without data after which a signal that had some is an alert of its own"""

    def rule(self, name: str) -> Rule | None:
        """The rule of this name."""
        return next((rule for rule in self.rules if rule.name == name), None)

    def steps(self, rule: Rule) -> tuple[Step, ...]:
        """Every step of a rule's ladder, with its repetitions and the ladders that follow it."""
        found: list[Step] = []
        name = rule.ladder or self.defaults.ladder
        while name is not None:
            ladder = self.ladders[name]
            found += ladder.steps * (1 + ladder.repeat)
            name = ladder.then
        return tuple(found)

    def repeat(self, rule: Rule) -> float:
        """Seconds between two reminders."""
        return self.defaults.repeat if rule.repeat is None else rule.repeat

    def runbook(self, rule: Rule) -> str:
        """Page or address for an alert of a rule."""
        page = rule.runbook or SIGNALS[rule.signal].runbook
        return page if "://" in page else f"{self.defaults.runbooks}{page}.md"

    def quiet(self, severity: Severity, now: float) -> bool:
        """Whether alerts of this severity wait now."""
        return any(hours.hold(severity, now) for hours in self.quiet_hours)


def group_of(rule: Rule, labels: Labels) -> tuple[str, ...]:
    """Alerts with the same values here are told in one message."""
    known = {**dict(labels), "rule": rule.name, "severity": rule.severity}
    return (rule.severity, *(f"{name}={known.get(name, '')}" for name in rule.group_by))


def raw(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}
