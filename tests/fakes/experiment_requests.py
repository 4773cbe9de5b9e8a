"""Requests of an experiment as columns, and the table that they make."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.experiments.arms import ArmTable

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Requests:
    """Requests in the order of time, all answered, audited and labelled; [n] each."""

    unit: Ints
    arm: Ints
    right: NDArray[np.bool_]
    stratum: Ints | None = None
    """None: one stratum"""
    label: Ints | None = None
    """None: every second image is of label 1"""
    at: NDArray[np.float64] | None = field(default=None)
    """None: one request a second"""

    def __len__(self) -> int:
        return len(self.unit)

    def until(self, end: int) -> Requests:
        """The first `end` requests."""
        cut = (None if one is None else one[:end] for one in (self.stratum, self.label, self.at))
        return Requests(self.unit[:end], self.arm[:end], self.right[:end], *cut)

    def table(self, shares: ArrayLike) -> ArmTable:
        """One row per unit, stratum and arm; `shares` [S, 2]."""
        n = len(self.unit)
        stratum = np.zeros(n, dtype=np.int64) if self.stratum is None else self.stratum
        label = np.arange(n) % 2 if self.label is None else self.label
        at = np.arange(n, dtype=np.float64) if self.at is None else self.at
        key = (stratum * (self.unit.max(initial=0) + 1) + self.unit) * 2 + self.arm
        # As np.unique, and several times as fast on keys that are small.
        seen = np.flatnonzero(np.bincount(key))
        place = np.zeros(int(key.max(initial=0)) + 1, dtype=np.int64)
        place[key[::-1]] = np.arange(n)[::-1]
        first, rows = place[seen], len(seen)
        place[seen] = np.arange(rows)
        row = place[key]
        predicted = np.where(self.right, label, 1 - label)
        cells = np.bincount(4 * row + 2 * label + predicted, minlength=4 * rows).reshape(rows, 2, 2)
        requests = np.bincount(row, minlength=rows)
        wrong = np.bincount(row, weights=~self.right, minlength=rows)
        return ArmTable(
            arms=("control", "b:2"),
            unit=self.unit[first],
            arm=self.arm[first],
            stratum=stratum[first],
            first_at=at[first],
            requests=requests,
            answered=requests,
            confusion=cells,
            audits=requests,
            audited=requests.astype(np.float64),
            audited_wrong=wrong.astype(np.float64),
            label_lag=np.full(rows, 10.0),
            shares=np.asarray(shares, dtype=np.float64),
        )
