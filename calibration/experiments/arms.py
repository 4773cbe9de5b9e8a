"""Data of an experiment: what each unit got from its arm, and what became of it.

A unit (a camera, a user) is what an experiment deals to its arms, so a unit is what counts: its requests
depend on each other. A stratum is the time between two changes of the shares; within it each unit was dealt
with the same probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np

from calibration.scores import BoolArray, FloatArray, IntArray

CONTROL: Final = 0
"""Index of the control among the arms of a table"""
_COUNTS: Final = ("requests", "answered", "audits")
_WEIGHTS: Final = ("audited", "audited_wrong")
_LARGEST_SUM_ERROR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class ArmTable:
    """Sums over the requests of each unit in each stratum: one row per (unit, stratum, arm).

    Rows may come in any order. A unit that is in several strata has several rows with one number in `unit`.
    Raises ValueError for arrays that do not fit together.
    """

    arms: tuple[str, ...]
    """[A >= 2] names; arms[0] is the control"""
    unit: IntArray
    """[n], number of the unit, the same in all of its rows"""
    arm: IntArray
    """[n], index into `arms`"""
    stratum: IntArray
    """[n], index into `shares`"""
    first_at: FloatArray
    """[n], Unix time of the unit's first request in the stratum, seconds"""
    requests: IntArray
    """[n], requests that were decided; at least 1"""
    answered: IntArray
    """[n], requests that got an answer"""
    confusion: IntArray
    """[n, 2, 2], labelled requests by label (row) and by the answer that the arm gives if it is forced to"""
    audits: IntArray
    """[n], answers that were drawn for an audit and have their label"""
    audited: FloatArray
    """[n], those audits, each weighted by 1 / the probability of its draw"""
    audited_wrong: FloatArray
    """[n], the wrong ones among them, weighted in the same way"""
    label_lag: FloatArray
    """[n], mean time from a prediction to its label, seconds; NaN without a label"""
    shares: FloatArray
    """[S, A], probability with which a unit is dealt to each arm in each stratum"""

    def __post_init__(self) -> None:
        _check_arms(self.arms, self.shares)
        _check_shapes(self)
        _check_indices(self)
        _check_sums(self)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.unit)

    @property
    def labelled(self) -> IntArray:
        """[n], requests whose label is known."""
        return np.asarray(self.confusion.sum(axis=(1, 2)), dtype=np.int64)

    @property
    def right(self) -> IntArray:
        """[n], labelled requests of which the forced answer is right."""
        return np.asarray(self.confusion[:, 0, 0] + self.confusion[:, 1, 1], dtype=np.int64)

    @property
    def strata(self) -> int:
        return len(self.shares)

    def index(self, arm: str) -> int:
        """Index of a challenger by its name. Raises ValueError for the control and for an unknown name."""
        if arm not in self.arms[1:]:
            raise ValueError(f"arm is {arm!r}; the challengers are {', '.join(self.arms[1:])}")
        return self.arms.index(arm)

    def take(self, rows: BoolArray | IntArray) -> Self:
        """The table of some of the rows."""
        columns: dict[str, Any] = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if field.name not in ("arms", "shares")
        }
        return replace(self, **columns)

    def pair(self, arm: int) -> Self:
        """The rows of the control and of one challenger, in a table of two arms.

        The shares become those between the two. In a stratum in which neither has a share they stay zero.
        """
        if not 1 <= arm < len(self.arms):
            raise ValueError(f"arm is {arm}; the challengers have the indices 1 to {len(self.arms) - 1}")
        if len(self.arms) == 2:
            return self
        kept = self.take((self.arm == CONTROL) | (self.arm == arm))
        two = self.shares[:, [CONTROL, arm]]
        total = two.sum(axis=1, keepdims=True)
        shares = np.divide(two, total, out=np.zeros_like(two), where=total > 0.0)
        return replace(
            kept,
            arms=(self.arms[CONTROL], self.arms[arm]),
            arm=(kept.arm == arm).astype(np.int64),
            shares=shares,
        )


@dataclass(frozen=True, slots=True)
class ShadowPairs:
    """Requests that the control and a shadow have both decided, and whose label is known: one row per unit.

    All [n]. Right and wrong speak of the forced answer. Raises ValueError for counts that do not fit.
    """

    both_right: IntArray
    only_control: IntArray
    """The control right, the shadow wrong"""
    only_shadow: IntArray
    both_wrong: IntArray

    def __post_init__(self) -> None:
        n = len(self.both_right)
        for field in fields(self):
            counts = getattr(self, field.name)
            if counts.shape != (n,):
                raise ValueError(
                    f"{field.name} has the shape {counts.shape}; one count per unit, {n}, needed"
                )
            if counts.dtype.kind not in "iu" or (counts < 0).any():
                raise ValueError(f"{field.name} holds values that are no counts; whole numbers from 0 needed")

    def __len__(self) -> int:
        """Number of units."""
        return len(self.both_right)

    @property
    def pairs(self) -> IntArray:
        """[n], requests of each unit."""
        return self.both_right + self.only_control + self.only_shadow + self.both_wrong


def _check_arms(arms: tuple[str, ...], shares: FloatArray) -> None:
    if len(arms) < 2 or len(set(arms)) != len(arms):
        raise ValueError(f"arms are {arms!r}; a control and one or more challengers of other names needed")
    if shares.ndim != 2 or shares.shape[1] != len(arms):
        raise ValueError(f"shares has the shape {shares.shape}; one row per stratum of {len(arms)} needed")
    # A stratum in which neither arm of a pair has a share has no row, and its shares are zero.
    total = shares.sum(axis=1)
    whole = (np.abs(total - 1.0) < _LARGEST_SUM_ERROR) | (total == 0.0)
    if not (np.isfinite(shares).all() and (shares >= 0.0).all() and whole.all()):
        raise ValueError("shares must be at least 0, and 1 in sum per stratum")


def _check_shapes(table: ArmTable) -> None:
    n = len(table.unit)
    for field in fields(table):
        if field.name in ("arms", "shares"):
            continue
        values, shape = getattr(table, field.name), (n, 2, 2) if field.name == "confusion" else (n,)
        if values.shape != shape:
            raise ValueError(f"{field.name} has the shape {values.shape}; {shape} is needed")


def _check_indices(table: ArmTable) -> None:
    for name, values, end in (
        ("arm", table.arm, len(table.arms)),
        ("stratum", table.stratum, len(table.shares)),
    ):
        if values.dtype.kind not in "iu" or ((values < 0) | (values >= end)).any():
            raise ValueError(
                f"{name} holds values that are no index; whole numbers from 0 to {end - 1} needed"
            )
    if table.unit.dtype.kind not in "iu":
        raise ValueError(f"unit has the type {table.unit.dtype}; whole numbers are needed")
    if not np.isfinite(table.first_at).all():
        raise ValueError("first_at holds values that are no time; Unix seconds are needed")


def _check_sums(table: ArmTable) -> None:
    for name in (*_COUNTS, "confusion"):
        counts = getattr(table, name)
        if counts.dtype.kind not in "iu" or (counts < 0).any():
            raise ValueError(f"{name} holds values that are no counts; whole numbers from 0 are needed")
    for name in _WEIGHTS:
        sums = getattr(table, name)
        if not (np.isfinite(sums) & (sums >= 0.0)).all():
            raise ValueError(f"{name} holds values that are no sum of weights; finite numbers from 0 needed")
    for less, more in (
        ("answered", "requests"),
        ("labelled", "requests"),
        ("audits", "answered"),
        ("audited_wrong", "audited"),
    ):
        over = getattr(table, less) > getattr(table, more) * (1.0 + _LARGEST_SUM_ERROR)
        if over.any():
            row = int(np.flatnonzero(over)[0])
            raise ValueError(f"{less} is more than {more} in row {row}; it is a part of it")
    if (np.where(np.isnan(table.label_lag), 0.0, table.label_lag) < 0.0).any():
        raise ValueError("label_lag holds negative times; seconds from 0, or NaN without a label, are needed")
