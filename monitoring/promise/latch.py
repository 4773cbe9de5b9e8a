"""Latch: which bundles have alarmed, kept in the store and on the disk until a person resets them.

The latch of a model is a document that several processes change. Two versions of it merge into one in which
nothing of either is lost, in any order and any number of times, so that it needs neither a lock nor a leader,
and a store that was away or has lost its memory gets it back from the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

from monitoring.errors import MonitoringError
from monitoring.formats import known, require_format
from monitoring.promise.terms import Signal

_RESETS_KEPT: Final = 1000


class LatchUnreadable(MonitoringError):
    """A document is no latch."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A signal of a bundle has alarmed."""

    signal: Signal
    part: str
    at: float
    """Unix time, seconds"""
    e_value: float
    trusted: bool
    """Whether nobody without a token could send the labels behind it, or the operator trusts open labels"""


@dataclass(frozen=True, slots=True)
class Reset:
    """A person has ended the alarms of a bundle."""

    at: float
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class BundleLatch:
    """What is kept of one bundle."""

    begin: float = 0.0
    """Unix time, seconds, since which its monitor counts: its last activation or reset"""
    alarms: Mapping[str, Alarm] = field(default_factory=dict)
    """By `signal part`, since `begin`"""
    resets: tuple[Reset, ...] = ()

    def alarm(self, signal: Signal) -> Alarm | None:
        """The first alarm of a signal, in any part."""
        found = [alarm for alarm in self.alarms.values() if alarm.signal == signal]
        return min(found, key=lambda alarm: alarm.at) if found else None

    @property
    def suspends(self) -> bool:
        """Whether the promise is broken by labels that may act by themselves."""
        return any(alarm.signal == "broken" and alarm.trusted for alarm in self.alarms.values())

    def merged(self, other: BundleLatch) -> BundleLatch:
        """Both in one: of two beginnings the later one, with the alarms since then."""
        begin = max(self.begin, other.begin)
        alarms: dict[str, Alarm] = {}
        for one in (self, other):
            for key, alarm in one.alarms.items() if one.begin == begin else ():
                first = alarms.get(key, alarm)
                earlier = min(first, alarm, key=lambda each: (each.at, each.e_value))
                alarms[key] = replace(earlier, trusted=first.trusted or alarm.trusted)
        resets = sorted({*self.resets, *other.resets}, key=lambda one: (one.at, one.name, one.reason))
        return BundleLatch(begin, alarms, tuple(resets[-_RESETS_KEPT:]))


@dataclass(frozen=True, slots=True)
class Latch:
    """The latches of all bundles of a model."""

    bundles: Mapping[str, BundleLatch] = field(default_factory=dict)

    def of(self, bundle: str) -> BundleLatch:
        """The latch of a bundle, `name:version`."""
        return self.bundles.get(bundle, BundleLatch())

    def merged(self, other: Latch) -> Latch:
        """Both in one."""
        names = {**self.bundles, **other.bundles}
        return Latch({name: self.of(name).merged(other.of(name)) for name in names})

    def alarmed(self, bundle: str, alarm: Alarm, begin: float) -> Latch:
        """With an alarm of a monitor that counts since `begin`; of no effect after a later beginning."""
        more = BundleLatch(begin, {f"{alarm.signal} {alarm.part}": alarm})
        return self.merged(Latch({bundle: more}))

    def reset(self, bundle: str, reset: Reset) -> Latch:
        """With the alarms of a bundle ended; its monitor begins anew."""
        before = self.of(bundle)
        later = BundleLatch(max(reset.at, before.begin), {}, (*before.resets, reset))
        return Latch({**self.bundles, bundle: later})

    def activated(self, bundle: str, at: float) -> Latch:
        """With the monitor of a bundle begun anew, unless it is in alarm: only a person ends that."""
        before = self.of(bundle)
        if before.alarms:
            return self
        return Latch({**self.bundles, bundle: replace(before, begin=max(at, before.begin))})

    def to_json(self) -> bytes:
        """The document; `from_json` is the inverse."""
        return json.dumps({name: asdict(one) for name, one in sorted(self.bundles.items())}).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Raises LatchUnreadable, and FormatTooNew for the latch of a later version."""
        try:
            values = json.loads(document)
            require_format(values, "the latch of the promise monitor")
            return cls({name: _bundle(one) for name, one in values.items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LatchUnreadable(f"it is no latch of the promise monitor: {error}") from None


def _bundle(values: Mapping[str, Any]) -> BundleLatch:
    return BundleLatch(
        begin=float(values["begin"]),
        alarms={key: Alarm(**known(Alarm, alarm)) for key, alarm in values["alarms"].items()},
        resets=tuple(Reset(**known(Reset, one)) for one in values["resets"]),
    )
