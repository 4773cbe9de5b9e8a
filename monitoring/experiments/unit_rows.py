"""Sums of an experiment per unit and stratum, as they grow: columns of `calibration.experiments.ArmTable`."""

from __future__ import annotations

from array import array
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.experiments.arms import ArmTable
from calibration.scores import FloatArray, IntArray

MOST_ROWS: Final = 2_000_000
"""Units, times the strata in which each was seen, beyond which further ones are not counted"""
_STRATA: Final = 2**10
_COUNTS: Final = ("unit", "arm", "stratum", "requests", "answered", "audits", "timed", "slow", "failed")
_SUMS: Final = ("first_at", "audited", "audited_wrong", "lag", "right_0", "wrong_0", "wrong_1", "right_1")
"""right_0 is label 0 answered as 0, wrong_0 label 0 answered as 1, and so on."""


class UnitRows:
    """One row per unit and stratum. A unit is known by a hash of its name."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._most = most
        self.counts = {name: array("i") for name in _COUNTS}
        self.sums = {name: array("d") for name in _SUMS}
        self._units: dict[int, int] = {}
        self._rows: dict[int, int] = {}
        self.crossed = 0
        """Requests whose unit had another arm in the same stratum; they are not counted"""
        self.left_out = 0
        """Requests of units beyond the most that are counted"""

    def __len__(self) -> int:
        return len(self.counts["unit"])

    def row(self, unit: str, stratum: int, arm: int, at: float) -> int | None:
        """The row of a request; None if it is not counted."""
        number = self._units.setdefault(hash(unit), len(self._units))
        row = self._rows.get(number * _STRATA + stratum)
        if row is None:
            if len(self) >= self._most:
                self.left_out += 1
                return None
            row = self._rows[number * _STRATA + stratum] = len(self)
            for counts in self.counts.values():
                counts.append(0)
            for sums in self.sums.values():
                sums.append(0.0)
            self.counts["unit"][row], self.counts["arm"][row] = number, arm
            self.counts["stratum"][row], self.sums["first_at"][row] = stratum, at
        elif self.counts["arm"][row] != arm:
            self.crossed += 1
            return None
        # Logs of several workers are read side by side.
        self.sums["first_at"][row] = min(self.sums["first_at"][row], at)
        return row

    def table(self, arms: tuple[str, ...], shares: FloatArray) -> ArmTable | None:
        """The rows of the strata of `shares` [S, A]; None without one."""
        kept = (self._counts("stratum") < len(shares)) & (self._counts("arm") < len(arms))
        if not kept.any():
            return None
        cells = [self._sums(name)[kept] for name in ("right_0", "wrong_0", "wrong_1", "right_1")]
        confusion = np.stack(cells, axis=1).astype(np.int64).reshape(-1, 2, 2)
        labelled = confusion.sum(axis=(1, 2))
        lag = np.full(len(labelled), np.nan)
        np.divide(self._sums("lag")[kept], labelled, out=lag, where=labelled > 0)
        columns: dict[str, Any] = {name: self._counts(name)[kept] for name in _COUNTS[:6]}
        columns |= {name: self._sums(name)[kept] for name in ("first_at", "audited", "audited_wrong")}
        return ArmTable(
            arms=arms,
            confusion=confusion,
            # A label that came before its prediction came at once.
            label_lag=np.maximum(lag, 0.0),
            shares=shares,
            **columns,
        )

    def column(self, name: str, arms: int, strata: int) -> IntArray:
        """A column of counts, of the same rows as in a table of so many arms and strata."""
        kept = (self._counts("stratum") < strata) & (self._counts("arm") < arms)
        return self._counts(name)[kept]

    def _counts(self, name: str) -> IntArray:
        # A copy: an array whose memory is shared cannot grow.
        found: NDArray[Any] = np.array(self.counts[name], dtype=np.int64)
        return found

    def _sums(self, name: str) -> FloatArray:
        return np.array(self.sums[name], dtype=np.float64)
