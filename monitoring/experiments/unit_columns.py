"""Rows of an experiment at one moment, of one service or of several, in which a unit is one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.scores import BoolArray, FloatArray, IntArray

COUNTS: Final = ("arm", "stratum", "requests", "answered", "audits", "timed", "slow", "failed")
SUMS: Final = ("first_at", "audited", "audited_wrong", "lag", "right_0", "wrong_0", "wrong_1", "right_1")
"""right_0 is label 0 answered as 0, wrong_0 label 0 answered as 1, and so on."""
_OF_TABLE: Final = COUNTS[:5]
_CELLS: Final = SUMS[4:]


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """One row per unit and stratum."""

    key: IntArray
    """[n], hash of the unit's name, the same in every process"""
    counts: Mapping[str, IntArray]
    """[n] each, by COUNTS"""
    sums: Mapping[str, FloatArray]
    """[n] each, by SUMS"""

    @classmethod
    def empty(cls) -> Self:
        """No row."""
        none = np.zeros(0, dtype=np.int64)
        return cls(none, dict.fromkeys(COUNTS, none), dict.fromkeys(SUMS, none.astype(np.float64)))

    def __len__(self) -> int:
        return len(self.key)

    def table(self, arms: tuple[str, ...], shares: FloatArray) -> ArmTable | None:
        """The rows of the strata of `shares` [S, A]; None without one."""
        kept = self._kept(len(arms), len(shares))
        if not kept.any():
            return None
        cells = np.stack([self.sums[name][kept] for name in _CELLS], axis=1)
        confusion = cells.astype(np.int64).reshape(-1, 2, 2)
        labelled = confusion.sum(axis=(1, 2))
        lag = np.full(len(labelled), np.nan)
        np.divide(self.sums["lag"][kept], labelled, out=lag, where=labelled > 0)
        columns: dict[str, Any] = {name: self.counts[name][kept] for name in _OF_TABLE}
        columns |= {name: self.sums[name][kept] for name in ("first_at", "audited", "audited_wrong")}
        return ArmTable(
            arms=arms,
            unit=np.unique(self.key[kept], return_inverse=True)[1].astype(np.int64),
            confusion=confusion,
            # A label that came before its prediction came at once.
            label_lag=np.maximum(lag, 0.0),
            shares=shares,
            **columns,
        )

    def column(self, name: str, arms: int, strata: int) -> IntArray:
        """A column of counts, of the same rows as in a table of so many arms and strata."""
        return self.counts[name][self._kept(arms, strata)]

    def take(self, rows: BoolArray | IntArray) -> Self:
        """Some of the rows."""
        counts = {name: column[rows] for name, column in self.counts.items()}
        return type(self)(self.key[rows], counts, {name: column[rows] for name, column in self.sums.items()})

    def _kept(self, arms: int, strata: int) -> BoolArray:
        return (self.counts["stratum"] < strata) & (self.counts["arm"] < arms)


def merged(parts: Sequence[UnitColumns]) -> tuple[UnitColumns, int]:
    """(the rows of several services in one, requests that are not counted).

    Rows of one unit in one stratum are added up. A unit has one arm in a stratum: what others say of it,
    because they were dealt otherwise, is not counted.
    """
    rows = _joined(parts)
    if len(parts) == 1 or not len(rows):
        return rows, 0
    order = np.lexsort((rows.sums["first_at"], rows.counts["stratum"], rows.key))
    rows = rows.take(order)
    begins = _begins(rows)
    own = rows.counts["arm"][begins][np.cumsum(begins) - 1] == rows.counts["arm"]
    crossed = int(rows.counts["requests"][~own].sum())
    rows = rows.take(own)
    starts = np.flatnonzero(_begins(rows))
    counts = {
        name: column[starts] if name in ("arm", "stratum") else np.add.reduceat(column, starts)
        for name, column in rows.counts.items()
    }
    sums = {
        # The first row of a unit is the earliest.
        name: column[starts] if name == "first_at" else np.add.reduceat(column, starts)
        for name, column in rows.sums.items()
    }
    return UnitColumns(rows.key[starts], counts, sums), crossed


def _joined(parts: Sequence[UnitColumns]) -> UnitColumns:
    if len(parts) == 1:
        return parts[0]
    every = (UnitColumns.empty(), *parts)
    return UnitColumns(
        np.concatenate([one.key for one in every]),
        {name: np.concatenate([one.counts[name] for one in every]) for name in COUNTS},
        {name: np.concatenate([one.sums[name] for one in every]) for name in SUMS},
    )


def _begins(rows: UnitColumns) -> BoolArray:
    """[n], whether a row has another unit or stratum than the one before it."""
    key, stratum = rows.key, rows.counts["stratum"]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (key[1:] != key[:-1]) | (stratum[1:] != stratum[:-1])
    return new
