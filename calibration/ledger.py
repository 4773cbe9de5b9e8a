"""The ledger of calibration splits: what was certified on each, and how much delta is left.

Everything certified on one split shares one delta: certifying until something passes destroys the
promise. A charge is made before the labels are looked at, and whether or not the certificate turns
out feasible. The ledger is a value: `charge` returns a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Self

from calibration.errors import DeltaExhausted, LedgerError

_ROUNDING = 1e-12
"""Shares such as .05 / 3 must add up to .05 again."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One certification on a split."""

    what: str
    """What was certified, for a person: policy, engine, slice."""
    delta: float
    fingerprint: str
    """Identifies the exact computation (scores, grid, target). Repeating it reveals nothing new, so
    the same fingerprint is charged once."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Accounts by split digest, each with the same budget."""

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
        """What was certified on this split, in order."""
        return self.accounts.get(split_digest, ())

    def spent(self, split_digest: str) -> float:
        return sum(entry.delta for entry in self.entries(split_digest))

    def left(self, split_digest: str) -> float:
        """The delta that a further certificate on this split may still use."""
        return max(0.0, self.budget - self.spent(split_digest))

    def charge(self, split_digest: str, what: str, delta: float, fingerprint: str | None = None) -> Ledger:
        """The ledger with one more entry; `DeltaExhausted` where less than `delta` is left.

        A fingerprint that was charged before with the same delta costs nothing again. Without one,
        every call is charged.
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
        """Read what `to_dict` wrote; `LedgerError` on anything else."""
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
