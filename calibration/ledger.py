"""Ledger of calibration splits: the certificates issued on each, and the delta that is left.

All certificates on one split share one delta, because repeating a certification until it passes destroys
the promise. The charge comes before the labels are read, and stays if the certificate is infeasible. The
ledger is a value: `charge` returns a new one. Splits that share units (`calibration.overlap`) share the delta
too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from random import SystemRandom
from types import MappingProxyType
from typing import Any, Self

from calibration.errors import DeltaExhausted, LedgerError
from calibration.overlap import SplitSketch

ROUNDING = 1e-12
"""Tolerance for shares such as .05 / 3, which must add up to .05."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One certification on a split."""

    what: str
    """The certificate in words: policy, engine, slice"""
    delta: float
    fingerprint: str
    """Identifies the exact computation (scores, grid, target). A repetition reveals nothing new, so one
    fingerprint is charged once."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Accounts by split digest, all with the same budget."""

    budget: float = 0.05
    accounts: Mapping[str, tuple[LedgerEntry, ...]] = field(default_factory=dict)
    sketches: Mapping[str, SplitSketch] = field(default_factory=dict)
    """By split digest; a split without one shares no account"""
    uniforms: Mapping[str, float] = field(default_factory=dict)
    """By split digest, the number in (0, 1) of its randomised tests"""

    def __post_init__(self) -> None:
        if not 0.0 < self.budget < 1.0:
            raise LedgerError(f"budget is {self.budget!r}; it must lie strictly between 0 and 1")
        for name in ("accounts", "sketches", "uniforms"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for digest in self.accounts:
            charged = sum(entry.delta for entry in self.entries(digest))
            if charged > self.budget + ROUNDING:
                raise LedgerError(
                    f"the ledger of split {digest} has charged {charged:g}, "
                    f"more than its budget of {self.budget:g}"
                )

    def entries(self, split_digest: str) -> tuple[LedgerEntry, ...]:
        """Certificates on this split, in order."""
        return self.accounts.get(split_digest, ())

    def shared_entries(self, split_digest: str) -> tuple[LedgerEntry, ...]:
        """Certificates on this split and on all splits that share units with it."""
        sketch = self.sketches.get(split_digest)
        others = (
            ()
            if sketch is None
            else (
                entry
                for digest, other in self.sketches.items()
                if digest != split_digest and sketch.overlaps(other)
                for entry in self.entries(digest)
            )
        )
        return (*self.entries(split_digest), *others)

    def spent(self, split_digest: str) -> float:
        """Delta charged to this split and to those that share units with it."""
        return sum(entry.delta for entry in self.shared_entries(split_digest))

    def with_split(self, split_digest: str, sketch: SplitSketch) -> Ledger:
        """The ledger that knows the units of a split, so that charges on overlapping splits count."""
        return replace(self, sketches={**self.sketches, split_digest: sketch})

    def with_uniform(self, split_digest: str) -> Ledger:
        """The ledger with a number for the randomised tests of a split, drawn once by the system.

        A public seed would fix the level of such a test, and a second draw would be a second attempt.
        """
        if split_digest in self.uniforms:
            return self
        return replace(self, uniforms={**self.uniforms, split_digest: SystemRandom().random()})

    def uniform(self, split_digest: str) -> float:
        """The number that `with_uniform` has drawn; `LedgerError` without one."""
        try:
            return self.uniforms[split_digest]
        except KeyError:
            raise LedgerError(
                f"split {split_digest} has no uniform number: draw it by `with_uniform` and save the ledger"
            ) from None

    def left(self, split_digest: str) -> float:
        """Delta that is left for further certificates on this split."""
        return max(0.0, self.budget - self.spent(split_digest))

    def charge(self, split_digest: str, what: str, delta: float, fingerprint: str | None = None) -> Ledger:
        """The ledger with one more entry; `DeltaExhausted` if less than `delta` is left.

        A fingerprint that is already charged with the same delta costs nothing. Without a fingerprint every
        call is charged.
        """
        if not split_digest:
            raise LedgerError("split_digest is empty; a charge needs the digest of the calibration split")
        if not 0.0 < delta < 1.0:
            raise LedgerError(f"delta is {delta!r}; it must lie strictly between 0 and 1")
        entries = self.entries(split_digest)
        shared = self.shared_entries(split_digest)
        if fingerprint is not None and any(
            entry.fingerprint == fingerprint and entry.delta == delta for entry in entries
        ):
            return self
        if self.spent(split_digest) + delta > self.budget + ROUNDING:
            left = self.left(split_digest)
            smaller = f"Certify with a delta of at most {left:g}, or label" if left > ROUNDING else "Label"
            raise DeltaExhausted(
                f"certifying {what!r} asks for delta {delta:g}, but {left:g} of "
                f"{self.budget:g} is left on calibration split {split_digest} after {len(shared)} "
                f"certification(s): {', '.join(entry.what for entry in shared) or 'none'}. "
                f"{smaller} a fresh calibration split"
            )
        name = fingerprint if fingerprint is not None else f"#{len(entries) + 1}"
        entry = LedgerEntry(what, delta, name)
        return replace(self, accounts={**self.accounts, split_digest: (*entries, entry)})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        values: dict[str, Any] = {
            "budget": self.budget,
            "accounts": {
                digest: [asdict(entry) for entry in entries] for digest, entries in self.accounts.items()
            },
        }
        if self.sketches:
            values["sketches"] = {digest: sketch.to_dict() for digest, sketch in self.sketches.items()}
        if self.uniforms:
            values["uniforms"] = dict(self.uniforms)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; `LedgerError` for anything else."""
        try:
            accounts = {
                str(digest): tuple(
                    LedgerEntry(str(entry["what"]), float(entry["delta"]), str(entry["fingerprint"]))
                    for entry in entries
                )
                for digest, entries in values["accounts"].items()
            }
            budget = float(values["budget"])
            sketches = {
                str(digest): SplitSketch.from_dict(sketch)
                for digest, sketch in values.get("sketches", {}).items()
            }
            uniforms = {str(digest): float(u) for digest, u in values.get("uniforms", {}).items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise LedgerError(f"not a ledger: {error!r}") from error
        for digest, entries in accounts.items():
            for entry in entries:
                if not 0.0 < entry.delta < 1.0:
                    raise LedgerError(f"the ledger of split {digest} has an entry of delta {entry.delta!r}")
        return cls(budget, accounts, sketches, uniforms)
