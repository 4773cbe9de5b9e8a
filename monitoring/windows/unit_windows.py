"""Unit-windows: spans of time in which the frames of one unit are taken for one piece of evidence.

Each unit has windows of `gap` seconds that begin at a phase of its own, so that those of all units do not end
together. A unit is known by a digest, since its name may be long.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from math import floor
from typing import Final, NamedTuple

from monitoring.events import PredictionEvent

_KEPT_AFTER_THE_WAIT: Final = 86_400.0
"""Seconds for which an item is kept once no label can change it, for readers that were away."""
_LEAST_BUCKET: Final = 600.0
_UNITS: Final = 8192
"""Units whose digests are remembered; about 2 MB"""


class UnitWindow(NamedTuple):
    """One window of one unit."""

    unit: bytes
    """Digest of the unit's name, 8 bytes"""
    number: int
    """Windows since the beginning of Unix time"""


def unit_window(unit_id: str, at: float, gap: float) -> UnitWindow:
    """The window of a unit that holds the Unix time `at`, seconds; `gap`: its length."""
    unit, phase = _unit(unit_id)
    return UnitWindow(unit, floor((at + phase * gap) / gap))


@dataclass(frozen=True, slots=True)
class ItemTimes:
    """The times by which frames become items of the monitors. Raises ValueError."""

    gap: float = 600.0
    """Length of a unit-window, seconds"""
    wait: float = 7 * 86_400.0
    """Seconds after its answer at which the label of an audit must have been sent"""

    _constant: tuple[str, int] = field(init=False, repr=False, compare=False)
    """Seconds of the wait and seconds kept, as `predict.lua` reads them"""

    def __post_init__(self) -> None:
        for name, seconds in (("gap", self.gap), ("wait", self.wait)):
            if not 1.0 <= seconds < float("inf"):
                raise ValueError(f"{name} is {seconds!r}; it must be at least 1 second, and finite")
        object.__setattr__(self, "_constant", (repr(self.wait), int(self.kept)))

    @property
    def kept(self) -> float:
        """Seconds for which the store holds an item."""
        return self.wait + _KEPT_AFTER_THE_WAIT

    def arguments(self, event: PredictionEvent) -> list[str | int | bytes]:
        """What `predict.lua` reads of the item of an event: draw ('' none), probability of the audit ('' not
        audited), seconds of the wait, seconds kept, unit-window in its bucket ('' no unit), bucket, unit,
        part of the promise."""
        draw, gap = event.draw, self.gap
        audit = "" if not event.audit or event.audit_probability is None else repr(event.audit_probability)
        if draw is None:
            return ["", audit, *self._constant, "", "", "", event.part]
        if event.unit_id is None:
            return [repr(draw), audit, *self._constant, "", "", "", event.part]
        unit, phase = _unit(event.unit_id)
        number = floor((event.at + phase * gap) / gap)
        bucket = floor((number * gap - phase * gap) / max(gap, _LEAST_BUCKET))
        key = unit + number.to_bytes(8, signed=True)
        return [repr(draw), audit, *self._constant, key, bucket, event.unit_id, event.part]


@lru_cache(maxsize=_UNITS)
def _unit(unit_id: str) -> tuple[bytes, float]:
    """(digest of a unit, phase of its windows as a share of their length); the draw of a frame asks for them
    first, the delivery of its event again."""
    digest = blake2b(unit_id.encode(), digest_size=8).digest()
    return digest, int.from_bytes(digest) / 2**64
