"""Four splits, disjoint by group: train, val_select, val_calib, val_test.

The unit of splitting is a group, or an image if there are no groups. Calibration gets what a certificate
needs before training gets the rest.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from calibration.bounds import fewest_answered
from calibration.certificate import RiskTarget
from calibration.scores import IntArray
from trainer.errors import RunError, TrainerError
from trainer.run.folder import read_json, write_json

StrArray = NDArray[np.str_]

SPLIT_NAMES = ("train", "val_select", "val_calib", "val_test")


class SplitError(TrainerError):
    """The rows cannot be split; the message says why in one sentence."""


class TooFewUnits(SplitError):
    """Fewer groups (or images) than splits, or than the configured sizes."""


ERRORS_AT_START = 1
"""Errors that the first threshold of the certificate allows."""
ERRORS_WHEN_PRETRAINED = 5
"""As above, for pretrained weights: training needs fewer images, so calibration gets more."""
CALIBRATION_SHARE = 0.187
"""Share of the units that calibration gets if units are plentiful."""
CALIBRATION_HEADROOM = 1.25
"""Factor on the units that must be answered, since some are not."""
CALIBRATION_CAP = 0.43
SELECTION_SHARE = 0.095
TEST_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class CalibrationNeed:
    """What a certificate needs of its calibration split."""

    target: RiskTarget
    errors: int = ERRORS_AT_START
    """Errors that are allowed among the answers that certify the target"""
    smallest_part: float = 1.0
    """Share of the images in the smallest part in which the target holds by itself"""

    @property
    def units(self) -> int:
        """Fewest units that can certify the target if all of them are answered."""
        fewest = int(fewest_answered(self.errors, self.target.alpha, self.target.delta))
        return math.ceil(fewest / self.smallest_part)


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """Units (groups, or images without groups) per evaluation split; train gets the rest."""

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
    def planned(cls, units: int, need: CalibrationNeed) -> Self:
        """Sizes that give calibration what `need` asks for before training gets the rest."""
        needed = need.units
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
        """Sizes from shares of the units by split name; `train` may be named and always gets the rest."""
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
    """Row numbers of each split, int64, disjoint by group and together complete.

    Those of training are ascending; the others are in the order of the images' contents if that is known, so
    that a renamed file changes no certificate.
    """

    train: IntArray
    val_select: IntArray
    val_calib: IntArray
    val_test: IntArray
    digests: Mapping[str, str]
    """Split name -> sha256 over its sorted (id, label, group); the same whatever the row order."""
    units: Mapping[str, int]
    """Split name -> number of its groups, or of its images without groups."""
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

    def in_order_of(self, before: Splits) -> Splits:
        """The same splits, with the rows of each in the order of `before` if they are the same rows.

        A run that an older version began goes on in its own order.
        """
        same: dict[str, Any] = {
            name: rows for name, rows in before if np.array_equal(np.sort(rows), np.sort(getattr(self, name)))
        }
        return replace(self, **same)

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
    sizes: SplitSizes | CalibrationNeed,
    *,
    seed: int,
    ids: Sequence[str] | None = None,
) -> Splits:
    """Split rows by group, stratified by the labels that a group holds.

    `labels`: int64 [n] in 0..K-1. `groups`: [n], or None if every image stands alone. `sizes`: units per
    split, or the need that they are planned from. `ids`: [n], content digests of the images, which enter
    the split digests; without groups, images of equal content stay together. Deterministic by `seed`;
    with groups or ids the result does not depend on the row order. Raises `TooFewUnits` below one unit
    per split and `SplitError` for unlabelled (negative) rows.
    """
    check_rows(labels, groups, ids)
    units = units_of(labels, groups, ids)
    count = len(np.unique(units))
    if count < len(SPLIT_NAMES):
        what = "images" if groups is None else "groups"
        raise TooFewUnits(
            f"there are {count} {what} for {len(SPLIT_NAMES)} splits; at least one each is needed"
        )
    if isinstance(sizes, CalibrationNeed):
        sizes = SplitSizes.planned(count, sizes)
    if sizes.total >= count:
        raise TooFewUnits(
            f"the evaluation splits ask for {sizes.total} of {count} units and leave none for train"
        )
    # Blocks of the stratified order. Train lies in the middle, where the single unit of a rare
    # stratum falls, and calibration before it, where the first of two falls.
    blocks = {
        "val_calib": sizes.val_calib,
        "train": count - sizes.total,
        "val_test": sizes.val_test,
        "val_select": sizes.val_select,
    }
    return splits_of(draw_blocks(units, labels, blocks, seed), labels, groups, ids, seed)


def keep_splits(splits: Splits, path: Path) -> Splits:
    """Write the splits to `path`, with rows in the order of what it holds already; returns them."""
    if path.is_file():
        # What cannot be read is no order to keep, and is written anew.
        with suppress(RunError, KeyError, TypeError, ValueError):
            splits = splits.in_order_of(Splits.from_dict(read_json(path)))
    write_json(path, splits.to_dict())
    return splits


def draw_blocks(units: StrArray, labels: IntArray, blocks: Mapping[str, int], seed: int) -> StrArray:
    """[n], the block of each row: units in a stratified order, cut into blocks of these sizes."""
    names, inverse = np.unique(units, return_inverse=True)
    unit_of_row = np.asarray(inverse, dtype=np.int64)
    order = _stratified_order(names, unit_of_row, labels, seed)
    block_of_unit = np.empty(len(names), dtype=np.int64)
    ends = np.cumsum(list(blocks.values()))
    block_of_unit[order] = np.searchsorted(ends, np.arange(len(names)), side="right")
    return np.array(list(blocks), dtype=np.str_)[block_of_unit[unit_of_row]]


def splits_of(
    names: StrArray, labels: IntArray, groups: StrArray | None, ids: Sequence[str] | None, seed: int
) -> Splits:
    """The splits, from the name of the split of each row [n]."""
    rows = {name: np.flatnonzero(names == name) for name in SPLIT_NAMES}
    if ids is not None:
        by_content = np.lexsort((labels, np.asarray(ids, dtype=np.str_)))
        for name in SPLIT_NAMES[1:]:
            rows[name] = by_content[names[by_content] == name]
    units = units_of(labels, groups, ids)
    return Splits(
        **rows,
        digests={name: _digest(rows[name], labels, groups, ids) for name in SPLIT_NAMES},
        units={name: len(np.unique(units[rows[name]])) for name in SPLIT_NAMES},
        seed=seed,
    )


def rarest_share(labels: IntArray) -> float:
    """Share of the rarest label, which approximates that of the rarest answer."""
    counts = np.bincount(labels)
    return float(counts[counts > 0].min() / len(labels))


def check_rows(labels: IntArray, groups: StrArray | None, ids: Sequence[str] | None) -> None:
    """Raise `SplitError` for rows without a label, `ValueError` for lengths that differ."""
    n = len(labels)
    for name, other in (("groups", groups), ("ids", ids)):
        if other is not None and len(other) != n:
            raise ValueError(f"{name} has {len(other)} entries for {n} labels")
    without = int((labels < 0).sum())
    if without:
        raise SplitError(f"{without} of {n} images have no usable label; drop them before splitting")


def units_of(labels: IntArray, groups: StrArray | None, ids: Sequence[str] | None) -> StrArray:
    """[n], the name of the unit that each row belongs to."""
    if groups is not None:
        return groups
    if ids is not None:
        return np.asarray(ids, dtype=np.str_)
    return np.arange(len(labels)).astype(np.str_)


def _stratified_order(names: StrArray, unit_of_row: IntArray, labels: IntArray, seed: int) -> IntArray:
    """Units in an order whose every block holds each stratum in proportion, within one unit.

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
