"""Requests that the control and a shadow have both decided, per unit: do they decide alike?"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from calibration.experiments.agreement import Alike
from calibration.scores import BoolArray, IntArray
from monitoring.experiments.unit_rows import MOST_ROWS, whole

SHADOW_COUNTS: Final = ("arm", "requests", "same", "answered", "control_answered")
_ARMS: Final = 2**16


@dataclass(frozen=True, slots=True)
class ShadowColumns:
    """One row per unit and shadow."""

    key: IntArray
    """[n], hash of the unit's name, the same in every process"""
    counts: Mapping[str, IntArray]
    """[n] each, by SHADOW_COUNTS"""

    @classmethod
    def empty(cls) -> Self:
        """No row."""
        none = np.zeros(0, dtype=np.int64)
        return cls(none, dict.fromkeys(SHADOW_COUNTS, none))

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: BoolArray) -> Self:
        """Some of the rows."""
        return type(self)(self.key[rows], {name: column[rows] for name, column in self.counts.items()})

    def of(self, arm: int) -> Alike:
        """The counts of one shadow, a row per unit."""
        rows = self.counts["arm"] == arm
        _, unit = np.unique(self.key[rows], return_inverse=True)
        units = int(unit.max()) + 1 if len(unit) else 0
        counts = (np.bincount(unit, self.counts[name][rows], units) for name in SHADOW_COUNTS[1:])
        return Alike(*(column.astype(np.int64) for column in counts))


def joined(parts: Sequence[ShadowColumns]) -> ShadowColumns:
    """The rows of several services."""
    every = (ShadowColumns.empty(), *parts)
    counts = {name: np.concatenate([one.counts[name] for one in every]) for name in SHADOW_COUNTS}
    return ShadowColumns(np.concatenate([one.key for one in every]), counts)


class ShadowRows:
    """The rows of one service, as they grow; those beyond `most` are not counted."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._most = most
        self._keys = array("q")
        self._counts = {name: array("i") for name in SHADOW_COUNTS}
        self._rows: dict[int, int] = {}

    def add(self, unit: int, arm: int, *, control: int | None, shadow: int | None) -> None:
        """Count what both have answered to one request; None: an abstention. `unit`: hash of its name."""
        place = unit * _ARMS + arm
        row = self._rows.get(place)
        if row is None:
            if len(self._keys) >= self._most:
                return
            row = self._rows[place] = len(self._keys)
            self._keys.append(unit)
            for column in self._counts.values():
                column.append(0)
            self._counts["arm"][row] = arm
        self._counts["requests"][row] += 1
        self._counts["same"][row] += control == shadow
        self._counts["answered"][row] += shadow is not None
        self._counts["control_answered"][row] += control is not None

    def columns(self) -> ShadowColumns:
        """The rows of now."""
        return ShadowColumns(whole(self._keys), {name: whole(one) for name, one in self._counts.items()})
