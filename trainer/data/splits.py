"""Four splits, disjoint by group: train, val_select, val_calib, val_test.

The unit that is split is a group, or an image where there are no groups. The calibration split is
given what a certificate needs before training gets the rest.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from calibration.bounds import fewest_answered
from calibration.certificate import RiskTarget
from calibration.scores import IntArray
from trainer.errors import TrainerError

StrArray = NDArray[np.str_]

SPLIT_NAMES = ("train", "val_select", "val_calib", "val_test")


class SplitError(TrainerError):
    """The rows cannot be split as asked; the message is one sentence that says why."""


class TooFewUnits(SplitError):
    """There are fewer groups (or images) than splits, or than the sizes asked for."""


ERRORS_AT_START = 1
"""The certificate's first threshold answers as many units as certify this many errors."""
ERRORS_WHEN_PRETRAINED = 5
"""As above, where training needs few images, so that calibration may have more of them."""
CALIBRATION_SHARE = 0.187
"""Share of the units that calibration gets where they are plentiful."""
CALIBRATION_HEADROOM = 1.25
"""Units beyond those that must be answered, since not every unit is."""
CALIBRATION_CAP = 0.43
SELECTION_SHARE = 0.095
TEST_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """Units (groups, or images without groups) that each evaluation split gets; train gets the rest."""

    val_select: int
    val_calib: int
    val_test: int

    def __post_init__(self) -> None:
        for name in ("val_select", "val_calib", "val_test"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")

    @property
    def total(self) -> int:
        return self.val_select + self.val_calib + self.val_test

    @classmethod
    def planned(
        cls, units: int, target: RiskTarget, errors: int = ERRORS_AT_START, smallest_part: float = 1.0
    ) -> Self:
        """Sizes that leave the certificate of `target` a chance before training gets the rest.

        errors: so many are to be allowed among the answers that certify it; smallest_part: share of the
        images in the smallest part in which it is to hold by itself.
        """
        needed = math.ceil(int(fewest_answered(errors, target.alpha, target.delta)) / smallest_part)
        wanted = max(CALIBRATION_HEADROOM * needed, CALIBRATION_SHARE * units)
        calib = round(min(wanted, CALIBRATION_CAP * units))
        if units >= 2 * needed:
            calib = max(calib, needed)
        return cls(
            val_select=max(1, round(SELECTION_SHARE * units)),
            val_calib=max(1, min(calib, units - 3)),
            val_test=max(1, round(TEST_SHARE * units)),
        )

    @classmethod
    def of_fractions(cls, units: int, fractions: Mapping[str, float]) -> Self:
        """Shares of the units by split name; `train` may be named and is what is left anyway."""
        unknown = set(fractions) - set(SPLIT_NAMES)
        missing = set(SPLIT_NAMES[1:]) - set(fractions)
        if unknown or missing:
            raise ValueError(f"fractions must name {', '.join(SPLIT_NAMES[1:])}; got {', '.join(fractions)}")
        values = [fractions[name] for name in SPLIT_NAMES[1:]]
        if min(values) < 0 or sum(values) >= 1:
            raise ValueError(
                f"fractions are {values}; none may be negative and together they must stay below 1"
            )
        select, calib, test = (max(1, round(value * units)) if value else 0 for value in values)
        return cls(val_select=select, val_calib=calib, val_test=test)


@dataclass(frozen=True)
class Splits:
    """Row numbers of each split, int64, ascending; disjoint by group and together complete."""

    train: IntArray
    val_select: IntArray
    val_calib: IntArray
    val_test: IntArray
    digests: Mapping[str, str]
    """Split name -> sha256 over its sorted (id, label, group); the same whatever the row order."""
    units: Mapping[str, int]
    """Split name -> groups in it, or images where there are no groups."""
    seed: int

    def __iter__(self) -> Iterator[tuple[str, IntArray]]:
        return iter((name, getattr(self, name)) for name in SPLIT_NAMES)

    @cached_property
    def names(self) -> StrArray:
        """[n], the split of each row."""
        size = sum(len(rows) for _, rows in self)
        names = np.empty(size, dtype="U16")
        for name, rows in self:
            names[rows] = name
        return names

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {
            "seed": self.seed,
            "digests": dict(self.digests),
            "units": dict(self.units),
            "rows": {name: rows.tolist() for name, rows in self},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        rows = {name: np.asarray(values["rows"][name], dtype=np.int64) for name in SPLIT_NAMES}
        return cls(**rows, digests=values["digests"], units=values["units"], seed=values["seed"])


def make_splits(
    labels: IntArray,
    groups: StrArray | None,
    *,
    target: RiskTarget,
    seed: int,
    sizes: SplitSizes | None = None,
    errors: int = ERRORS_AT_START,
    smallest_part: float = 1.0,
    ids: Sequence[str] | None = None,
) -> Splits:
    """Split rows by group, stratified by the labels that a group holds.

    `labels` int64 [n] in 0..K-1; `groups` [n], or None where every image stands alone; `ids` [n],
    content digests of the images: they enter the split digests, and without groups images of equal
    content stay together. `errors` and `smallest_part` size the splits where `sizes` does not, see
    `SplitSizes.planned`. Deterministic by `seed`; with groups or ids it does not depend on the row
    order. Raises `TooFewUnits` below one unit a split, `SplitError` for unlabelled (negative) rows.
    """
    _check(labels, groups, ids)
    units = _units(labels, groups, ids)
    members = np.unique(units, return_inverse=True)
    names, unit_of_row = members[0], np.asarray(members[1], dtype=np.int64)
    count = len(names)
    if count < len(SPLIT_NAMES):
        what = "images" if groups is None else "groups"
        raise TooFewUnits(
            f"there are {count} {what} for {len(SPLIT_NAMES)} splits; at least one each is needed"
        )
    sizes = sizes or SplitSizes.planned(count, target, errors, smallest_part)
    if sizes.total >= count:
        raise TooFewUnits(
            f"the evaluation splits ask for {sizes.total} of {count} units and leave none for train"
        )
    order = _stratified_order(names, unit_of_row, labels, seed)
    # Blocks of the stratified order. Train lies in the middle, where the single unit of a rare
    # stratum falls, and calibration before it, where the first of two falls.
    blocks = {
        "val_calib": sizes.val_calib,
        "train": count - sizes.total,
        "val_test": sizes.val_test,
        "val_select": sizes.val_select,
    }
    ends = np.cumsum(list(blocks.values()))
    block_of_unit = np.empty(count, dtype=np.int64)
    block_of_unit[order] = np.searchsorted(ends, np.arange(count), side="right")
    rows = {name: np.flatnonzero(block_of_unit[unit_of_row] == block) for block, name in enumerate(blocks)}
    return Splits(
        **rows,
        digests={name: _digest(rows[name], labels, groups, ids) for name in SPLIT_NAMES},
        units={name: int((block_of_unit == block).sum()) for block, name in enumerate(blocks)},
        seed=seed,
    )


def rarest_share(labels: IntArray) -> float:
    """Share of the rarest label, which is about that of the rarest answer."""
    counts = np.bincount(labels)
    return float(counts[counts > 0].min() / len(labels))


def _check(labels: IntArray, groups: StrArray | None, ids: Sequence[str] | None) -> None:
    n = len(labels)
    for name, other in (("groups", groups), ("ids", ids)):
        if other is not None and len(other) != n:
            raise ValueError(f"{name} has {len(other)} entries for {n} labels")
    without = int((labels < 0).sum())
    if without:
        raise SplitError(f"{without} of {n} images have no usable label; drop them before splitting")


def _units(labels: IntArray, groups: StrArray | None, ids: Sequence[str] | None) -> StrArray:
    """[n], the name of the unit that each row belongs to."""
    if groups is not None:
        return groups
    if ids is not None:
        return np.asarray(ids, dtype=np.str_)
    return np.arange(len(labels)).astype(np.str_)


def _stratified_order(names: StrArray, unit_of_row: IntArray, labels: IntArray, seed: int) -> IntArray:
    """Units in an order of which every block holds each stratum in proportion, within one unit.

    Systematic sampling: the units of a stratum (the set of labels that a unit holds) are shuffled and
    spread evenly over [0, 1); then all units are sorted by their place.
    """
    count = len(names)
    shuffle = np.array([_hash(seed, name) for name in names.tolist()], dtype=np.uint64)
    holds = np.zeros((count, int(labels.max()) + 1), dtype=np.bool_)
    holds[unit_of_row, labels] = True
    stratum = np.unique(holds, axis=0, return_inverse=True)[1].reshape(-1)
    place = np.empty(count)
    for value in range(int(stratum.max()) + 1):
        inside = np.flatnonzero(stratum == value)
        inside = inside[np.lexsort((names[inside], shuffle[inside]))]
        place[inside] = (np.arange(len(inside)) + 0.5) / len(inside)
    return np.asarray(np.lexsort((names, shuffle, place)), dtype=np.int64)


def _hash(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest(), "big")


def _digest(rows: IntArray, labels: IntArray, groups: StrArray | None, ids: Sequence[str] | None) -> str:
    lines = sorted(
        f"{row if ids is None else ids[row]}\t{labels[row]}\t{'' if groups is None else groups[row]}"
        for row in rows.tolist()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
