"""Identity of a split by the content of its units, without labels, and the overlap of two splits.

A digest that includes labels gives a relabelled split a fresh delta after its certificate is known; a digest
of the whole split gives one to a split that shares all units but a few. A sketch keeps the digests of the
units below a common bound, so that shared units are kept in both sketches and are counted without the splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

MOST_KEPT = 4096
"""Units in a sketch; 1 % of them are told from 2 % with more than six standard deviations"""
SHARED_UNITS = 0.01
"""Share of common units above which two splits share one account"""
_BITS = 64


def units_digest(units: Iterable[str]) -> str:
    """sha256 of the content digests of a split's units in any order; no label enters."""
    whole = hashlib.sha256()
    for unit in sorted(set(units)):
        whole.update(hashlib.sha256(unit.encode()).digest())
    return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class SplitSketch:
    """Sample of the units of a split that is coordinated with the samples of all other splits."""

    halvings: int
    """Each halves the share of units that are kept: those with a hash below 2^(64 - halvings)"""
    hashes: frozenset[int]

    @classmethod
    def of(cls, units: Iterable[str]) -> Self:
        """The sketch of a split from the content digests of its units."""
        hashes = {
            int.from_bytes(hashlib.sha256(unit.encode()).digest()[: _BITS // 8], "big") for unit in units
        }
        halvings = 0
        while len(hashes) > MOST_KEPT:
            halvings += 1
            hashes = {value for value in hashes if value < 1 << (_BITS - halvings)}
        return cls(halvings, frozenset(hashes))

    def overlaps(self, other: SplitSketch) -> bool:
        """Whether the splits share more than `SHARED_UNITS` of the units of either."""
        limit = 1 << (_BITS - max(self.halvings, other.halvings))
        mine, theirs = ({value for value in sketch.hashes if value < limit} for sketch in (self, other))
        fewest = min(len(mine), len(theirs))
        return fewest > 0 and len(mine & theirs) > SHARED_UNITS * fewest

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {"halvings": self.halvings, "hashes": [f"{value:016x}" for value in sorted(self.hashes)]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; KeyError, TypeError or ValueError for anything else."""
        return cls(int(values["halvings"]), frozenset(int(value, 16) for value in values["hashes"]))
