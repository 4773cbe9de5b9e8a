"""Unit-windows: spans of time in which the frames of one unit are taken for one piece of evidence.

Each unit has windows of `gap` seconds that begin at a phase of its own, so that those of all units do not end
together. A unit is known by a digest, since its name may be long.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import floor
from typing import Final, NamedTuple

from monitoring.events import PredictionEvent

_KEPT_AFTER_THE_WAIT: Final = 86_400.0
"""Seconds for which an item is kept once no label can change it, for readers that were away."""
_LEAST_BUCKET: Final = 600.0


class UnitWindow(NamedTuple):
    """One window of one unit."""

    unit: bytes
    """Digest of the unit's name, 8 bytes"""
    number: int
    """Windows since the beginning of Unix time"""


def unit_window(unit_id: str, at: float, gap: float) -> UnitWindow:
    """The window of a unit that holds the Unix time `at`, seconds; `gap`: its length."""
    unit = blake2b(unit_id.encode(), digest_size=8).digest()
    return UnitWindow(unit, floor((at + _phase(unit, gap)) / gap))


@dataclass(frozen=True, slots=True)
class ItemTimes:
    """The times by which frames become items of the monitors. Raises ValueError."""

    gap: float = 600.0
    """Length of a unit-window, seconds"""
    wait: float = 7 * 86_400.0
    """Seconds after its answer at which the label of an audit must have been sent"""

    def __post_init__(self) -> None:
        for name, seconds in (("gap", self.gap), ("wait", self.wait)):
            if not 1.0 <= seconds < float("inf"):
                raise ValueError(f"{name} is {seconds!r}; it must be at least 1 second, and finite")

    @property
    def kept(self) -> float:
        """Seconds for which the store holds an item."""
        return self.wait + _KEPT_AFTER_THE_WAIT

    def arguments(self, event: PredictionEvent) -> list[str | int | bytes]:
        """What `predict.lua` reads of the item of an event: draw ('' none), probability of the audit ('' not
        audited), seconds of the wait, seconds kept, unit-window in its bucket ('' no unit), bucket, unit,
        part of the promise."""
        audit = "" if not event.audit or event.audit_probability is None else repr(event.audit_probability)
        head: list[str | int | bytes] = ["" if event.draw is None else repr(event.draw), audit]
        head += [repr(self.wait), int(self.kept)]
        if event.unit_id is None or event.draw is None:
            return [*head, "", "", "", event.part]
        window = unit_window(event.unit_id, event.at, self.gap)
        began = window.number * self.gap - _phase(window.unit, self.gap)
        bucket = floor(began / max(self.gap, _LEAST_BUCKET))
        key = window.unit + window.number.to_bytes(8, signed=True)
        return [*head, key, bucket, event.unit_id, event.part]


def _phase(unit: bytes, gap: float) -> float:
    return int.from_bytes(unit) / 2**64 * gap
