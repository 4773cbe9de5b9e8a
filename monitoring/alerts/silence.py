"""Silence: a time in which some alerts are told to nobody, with an end, an author and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Self

from monitoring.alerts.alert import Alert
from monitoring.alerts.signals import Labels
from monitoring.formats import known


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that match are evaluated and shown, and told to nobody until the end."""

    id: str
    matchers: Labels
    """Label -> pattern, where `*` stands for anything; `rule` and `fingerprint` count as labels"""
    begins: float
    until: float
    """Unix time, seconds"""
    name: str
    reason: str
    ended_at: float | None = None
    """When a person ended it early"""
    ended_by: str = ""

    def holds(self, now: float) -> bool:
        """Whether it is in force."""
        # Not `begins <= now`: a clock that is set back must not let it begin again later.
        return self.ended_at is None and now < self.until

    def matches(self, alert: Alert) -> bool:
        """Whether an alert is one of those it is for."""
        known = {**dict(alert.labels), "rule": alert.rule, "fingerprint": alert.fingerprint}
        return matches(self.matchers, known)

    def merged(self, other: Silence) -> Silence:
        """Both versions in one: it has ended if it has ended in either."""
        if self.ended_at is None or other.ended_at is None:
            return other if self.ended_at is None else self
        return min(self, other, key=lambda one: (one.ended_at, one.ended_by))

    def ended(self, at: float, name: str) -> Silence:
        """Ended by a person."""
        return self if self.ended_at is not None else replace(self, ended_at=at, ended_by=name)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "matchers": dict(self.matchers)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for other values."""
        return cls(**{**known(cls, values), "matchers": tuple(sorted(values["matchers"].items()))})


def matches(patterns: Labels, labels: Mapping[str, str]) -> bool:
    """Whether each label has a value that its pattern fits."""
    return all(fnmatchcase(labels.get(name, ""), pattern) for name, pattern in patterns)
