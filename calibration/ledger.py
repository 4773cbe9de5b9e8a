"""Ledger of calibration splits: the certificates issued on each, and the delta that is left.

All certificates on one split share one delta, because repeating a certification until it passes destroys
the promise. The charge comes before the labels are read, and stays if the certificate is infeasible. The
ledger is a value: `charge` returns a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Self

from calibration.errors import DeltaExhausted, LedgerError

_ROUNDING = 1e-12
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

    def __post_init__(self) -> None:
        if not 0.0 < self.budget < 1.0:
            raise LedgerError(f"budget is {self.budget!r}; it must lie strictly between 0 and 1")
        object.__setattr__(self, "accounts", MappingProxyType(dict(self.accounts)))
        for digest in self.accounts:
            if self.spent(digest) > self.budget + _ROUNDING:
                raise LedgerError(
                    f"the ledger of split {digest} has charged {self.spent(digest):g}, "
                    f"more than its budget of {self.budget:g}"
                )

    def entries(self, split_digest: str) -> tuple[LedgerEntry, ...]:
        """Certificates on this split, in order."""
        return self.accounts.get(split_digest, ())

    def spent(self, split_digest: str) -> float:
        """Delta charged to this split."""
        return sum(entry.delta for entry in self.entries(split_digest))

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
        if fingerprint is not None and any(
            entry.fingerprint == fingerprint and entry.delta == delta for entry in entries
        ):
            return self
        if self.spent(split_digest) + delta > self.budget + _ROUNDING:
            raise DeltaExhausted(
                f"certifying {what!r} asks for delta {delta:g}, but {self.left(split_digest):g} of "
                f"{self.budget:g} is left on calibration split {split_digest} after {len(entries)} "
                f"certification(s): {', '.join(entry.what for entry in entries) or 'none'}. "
                "Certify with a smaller delta, or label a fresh calibration split"
            )
        name = fingerprint if fingerprint is not None else f"#{len(entries) + 1}"
        return Ledger(
            self.budget, {**self.accounts, split_digest: (*entries, LedgerEntry(what, delta, name))}
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {
            "budget": self.budget,
            "accounts": {
                digest: [asdict(entry) for entry in entries] for digest, entries in self.accounts.items()
            },
        }

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
        except (KeyError, TypeError, AttributeError) as error:
            raise LedgerError(f"not a ledger: {error!r}") from error
        for digest, entries in accounts.items():
            for entry in entries:
                if not 0.0 < entry.delta < 1.0:
                    raise LedgerError(f"the ledger of split {digest} has an entry of delta {entry.delta!r}")
        return cls(budget, accounts)
