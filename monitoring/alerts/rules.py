"""Rules: what is watched, and what is told how often; with people and ladders a whole rules file, frozen."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from monitoring.alerts.durations import Duration
from monitoring.alerts.ladders import Ladder, Name, Part, Person, Step
from monitoring.alerts.message import Severity
from monitoring.alerts.notifiers.config import ChannelConfig
from monitoring.alerts.notifiers.secrets import Url
from monitoring.alerts.quiet_hours import QuietHours
from monitoring.alerts.signals import SIGNALS, Labels, Reading, labels_of
from monitoring.alerts.silence import matches

Verdict = Literal["bad", "between", "good", "no data"]

_PAGE: Final = re.compile(r"[a-z0-9][a-z0-9-]*|https?://\S+")
_HOUR: Final = 3600.0


def _known_signal(value: str) -> str:
    if value not in SIGNALS:
        raise PydanticCustomError(
            "signal", "there is no such signal; the signals are {names}", {"names": ", ".join(SIGNALS)}
        )
    return value


def _known_page(value: str) -> str:
    if not _PAGE.fullmatch(value):
        raise PydanticCustomError(
            "runbook", "it must be a page of docs/runbooks, as promise-broken, or an address with https://"
        )
    return value


Pattern = Annotated[str, Field(min_length=1, max_length=300)]
Threshold = Annotated[float, Field(allow_inf_nan=False)]


class Rule(Part):
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


class Budget(Part):
    """How many messages one receiver gets; beyond it one summary, and the rest when there is room again."""

    per_hour: Annotated[int, Field(ge=1, le=1000)] = 20


class Heartbeat(Part):
    """A sign of life to any URL; it stops when the evaluation stops."""

    url: Url
    every: Annotated[Duration, Field(ge=5, le=86_400)] = 60.0
    timeout: Annotated[float, Field(ge=0.1, le=60, allow_inf_nan=False)] = 10.0


class Defaults(Part):
    """What rules have that do not say otherwise."""

    ladder: Name | None = None
    repeat: Annotated[Duration, Field(ge=60)] = 4 * _HOUR
    runbooks: Annotated[str, Field(max_length=500)] = "docs/runbooks/"
    """What the name of a page is appended to"""


class AlertRules(Part):
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
