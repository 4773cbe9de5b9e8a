"""Unit sampler: which images of a stream drift looks at. One random frame of a random sample of units."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, NamedTuple

from monitoring.windows.unit_windows import unit_window

_REMEMBERED: Final = 20_000
"""Units whose draws are remembered at a time, the latest ones"""
_ADAPT_EVERY: Final = 60.0
"""Seconds after which the share of units follows the traffic"""
_BURST: Final = 4.0
"""Times the wanted number that is drawn in a minute at most, before the share has followed the traffic"""
_LARGEST: Final = 2**64


class Draw(NamedTuple):
    """An image that was drawn."""

    unit: str
    """Key of the unit in its time window, 16 hex digits; of one that is not known, random"""
    number: float
    """In [0, 1); of several frames of a unit the one with the smallest number counts, whichever worker drew
    it, so that each frame is as likely as every other"""


class UnitSampler:
    """Sampler of one worker. A unit counts once per time window of `gap` seconds."""

    def __init__(self, per_hour: float, gap: float, *, chance: Callable[[], float] = random.random) -> None:
        """`per_hour`: units to draw per hour, as a mean; with less traffic every unit is drawn."""
        self._per_minute = per_hour / 60.0
        self._most = max(_BURST * self._per_minute, 1.0)
        self._gap = gap
        self._chance = chance
        self._share = 1.0
        self._smallest: OrderedDict[int, float] = OrderedDict()
        self._drawn = 0
        self._since: float | None = None

    @property
    def share(self) -> float:
        """Share of the units that is drawn now."""
        return self._share

    def draw(self, unit: str | None, at: float) -> Draw | None:
        """The draw of one image at `at` (Unix time); None if it is not looked at."""
        self._adapt(at)
        if self._drawn >= self._most:
            return None
        if unit is None:
            if self._chance() >= self._share:
                return None
            self._drawn += 1
            return Draw(f"{random.getrandbits(64):016x}", self._chance())
        window = unit_window(unit, at, self._gap)
        digest = blake2b(window.unit + window.number.to_bytes(8, signed=True), digest_size=8).digest()
        key = int.from_bytes(digest, "big")
        # The key decides, so that all frames of a unit, on all workers, are in the sample or none of them.
        if key >= self._share * _LARGEST:
            return None
        number = self._chance()
        smallest = self._smallest.get(key)
        if smallest is None:
            self._drawn += 1
        elif number >= smallest:
            return None
        self._smallest[key] = number
        self._smallest.move_to_end(key)
        if len(self._smallest) > _REMEMBERED:
            self._smallest.popitem(last=False)
        return Draw(digest.hex(), number)

    def _adapt(self, at: float) -> None:
        """Once a minute: the share that would have drawn the wanted number in the last one."""
        if self._since is None or not 0.0 <= at - self._since < 10.0 * _ADAPT_EVERY:
            self._since, self._drawn = at, 0
        elif at - self._since >= _ADAPT_EVERY:
            units_per_minute = self._drawn / self._share * 60.0 / (at - self._since)
            self._share = min(1.0, self._per_minute / max(units_per_minute, self._per_minute))
            self._since, self._drawn = at, 0
