"""Sums of an experiment per unit and stratum, as they grow: columns of `calibration.experiments.ArmTable`."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

import numpy as np

from calibration.scores import IntArray
from monitoring.experiments.unit_columns import COUNTS, SUMS, UnitColumns

MOST_ROWS: Final = 2_000_000
"""Units, times the strata in which each was seen, beyond which further ones are not counted"""
_STRATA: Final = 2**10


def key_of(unit: str) -> int:
    """The hash by which a unit is known, a whole number of 64 bits; the same in every process."""
    return int.from_bytes(blake2b(unit.encode(errors="surrogatepass"), digest_size=8).digest(), signed=True)


class UnitRows:
    """One row per unit and stratum. A unit is known by a hash of its name."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._most = most
        self.keys = array("q")
        self.counts = {name: array("i") for name in COUNTS}
        self.sums = {name: array("d") for name in SUMS}
        self._rows: dict[int, int] = {}
        self.crossed = 0
        """Requests whose unit had another arm in the same stratum; they are not counted"""
        self.left_out = 0
        """Requests of units beyond the most that are counted"""

    def __len__(self) -> int:
        return len(self.keys)

    def row(self, unit: str, stratum: int, arm: int, at: float) -> int | None:
        """The row of a request; None if it is not counted."""
        key = key_of(unit)
        row = self._rows.get(key * _STRATA + stratum)
        if row is None:
            if len(self) >= self._most:
                self.left_out += 1
                return None
            row = self._rows[key * _STRATA + stratum] = len(self)
            self.keys.append(key)
            for counts in self.counts.values():
                counts.append(0)
            for sums in self.sums.values():
                sums.append(0.0)
            self.counts["arm"][row] = arm
            self.counts["stratum"][row], self.sums["first_at"][row] = stratum, at
        elif self.counts["arm"][row] != arm:
            self.crossed += 1
            return None
        # Logs of several workers are read side by side.
        self.sums["first_at"][row] = min(self.sums["first_at"][row], at)
        return row

    def columns(self) -> UnitColumns:
        """The rows of now."""
        return UnitColumns(
            whole(self.keys),
            {name: whole(column) for name, column in self.counts.items()},
            {name: np.array(column, dtype=np.float64) for name, column in self.sums.items()},
        )


def whole(column: array[int]) -> IntArray:
    """A column as it is now; a copy, because an array whose memory is shared cannot grow."""
    return np.array(column, dtype=np.int64)
