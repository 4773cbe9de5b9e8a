"""Certificates on every calibration split that a user has read, whichever folder they are in.

The ledger of a run is a file of its folder, so a second folder with the same split has a delta of its own.
Here a split is known by the content of its units, without labels, and splits that share units share one
account. All certificates of one model on one split share one delta. Those of other models, or on other
splits of the same units, each hold with their own confidence, and all of an account together with 1 minus the
sum of their deltas, which a choice among them costs: that is what `KnownSplits.confidence` states. The
accounts are a value: each change returns a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from calibration.errors import DeltaExhausted, LedgerError
from calibration.ledger import ROUNDING
from calibration.overlap import SplitSketch, units_digest

USUAL_BUDGET = 0.05
"""Delta of a model on a split if its first certificate asks for no more; several smaller ones share it"""


@dataclass(frozen=True, slots=True)
class SplitIdentity:
    """A calibration split by the content of its units."""

    digest: str
    units: int
    sketch: SplitSketch
    aliases: frozenset[str] = frozenset()
    """Further digests of the same split, as of its units with their labels: splits with a common one are
    the same, also if an older version has kept no content of the units"""

    @classmethod
    def of(cls, units: Iterable[str], alias: str = "") -> Self:
        """From the content digests of the units, without labels and in any order."""
        distinct = set(units)
        aliases = frozenset([alias] if alias else [])
        return cls(units_digest(distinct), len(distinct), SplitSketch.of(distinct), aliases)


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """One reading of the labels of a split."""

    what: str
    """The certificate in words"""
    delta: float
    """0 for labels that are read without a confidence level, by SCRC-T or a comparison"""
    fingerprint: str
    """Identifies the exact computation; a repetition reveals nothing new"""
    place: str
    """Run folder, or file of scores"""
    at: str
    """UTC time, ISO 8601"""
    withdrawn: str = ""
    """Time of its withdrawal; empty while it holds"""
    made_by: str = ""
    """Digest of the configuration or models behind the scores, by which a repetition is expected before its
    scores exist; empty if unknown"""
    model: str = ""
    """Digest of the same without the promise; certificates of one model share one delta. Empty if unknown"""

    @property
    def key(self) -> tuple[str, float]:
        """Equal for the same computation, wherever it was made."""
        return self.fingerprint, self.delta


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """One split with the certificates on it, in the order of their times."""

    units: int
    sketch: SplitSketch
    budget: float = 0.0
    """Delta of all certificates of one model together; 0 until the first one spends some"""
    certificates: tuple[KnownCertificate, ...] = ()
    aliases: frozenset[str] = frozenset()
    """See `SplitIdentity.aliases`"""

    def is_same(self, split: SplitIdentity) -> bool:
        """Whether it is this split under another digest."""
        return bool(split.aliases & self.aliases)


@dataclass(frozen=True, slots=True)
class KnownSplits:
    """Accounts by split digest."""

    splits: Mapping[str, KnownSplit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))

    def sharing(self, split: SplitIdentity) -> tuple[str, ...]:
        """Digests of the split itself, if it is known, and of all that share more than 1 % of its units."""
        same = self._same(split)
        others = (
            digest
            for digest, other in self.splits.items()
            if digest not in same and split.sketch.overlaps(other.sketch)
        )
        return (*same, *others)

    def _same(self, split: SplitIdentity) -> tuple[str, ...]:
        """Digests under which this very split is known, its own first."""
        others = (
            digest for digest, other in self.splits.items() if digest != split.digest and other.is_same(split)
        )
        return (*((split.digest,) if split.digest in self.splits else ()), *others)

    def certificates(self, split: SplitIdentity) -> tuple[KnownCertificate, ...]:
        """Every certificate on these units in the order of time, one per computation.

        A computation that still holds somewhere stands for its withdrawn copies.
        """
        return self._computations(self.sharing(split))

    def _computations(self, splits: Iterable[str]) -> tuple[KnownCertificate, ...]:
        found: dict[tuple[str, float], KnownCertificate] = {}
        entries = [one for digest in splits for one in self.splits[digest].certificates]
        for one in sorted(entries, key=lambda one: one.at):
            before = found.get(one.key)
            if before is None:
                found[one.key] = one
            elif before.withdrawn and not one.withdrawn:
                found[one.key] = replace(before, withdrawn="", place=one.place)
        return tuple(found.values())

    def holding(self, split: SplitIdentity, model: str | None = None) -> tuple[KnownCertificate, ...]:
        """Certificates that spend delta and are not withdrawn: all on these units, or those of `model` on
        this very split, which share one delta."""
        among = self.sharing(split) if model is None else self._same(split)
        return tuple(
            one
            for one in self._computations(among)
            if one.delta > 0 and not one.withdrawn and model in (None, one.model)
        )

    def spent(self, split: SplitIdentity, model: str | None = None) -> float:
        """Delta of `holding`."""
        return sum(one.delta for one in self.holding(split, model))

    def budget(self, split: SplitIdentity, asked: float = 0.0) -> float:
        """Delta of a model on this split: `USUAL_BUDGET`, or what the first one `asked` if that is more."""
        own = [self.splits[digest].budget for digest in self._same(split)]
        known = [budget for budget in own if budget > 0]
        return min(known) if known else max(USUAL_BUDGET, asked)

    def left(self, split: SplitIdentity, model: str = "") -> float:
        """Delta that is left for further certificates of this model on this split."""
        return max(0.0, self.budget(split) - self.spent(split, model))

    def confidence(self, split: SplitIdentity) -> float:
        """Confidence with which all certificates on these units hold together: 1 - sum of delta."""
        return max(0.0, 1.0 - self.spent(split))

    def at_place(self, split: SplitIdentity, place: str) -> tuple[KnownCertificate, ...]:
        """Certificates of one run folder or file on this very split that are not withdrawn."""
        entries = (one for digest in self._same(split) for one in self.splits[digest].certificates)
        return tuple(one for one in entries if one.place == place and not one.withdrawn)

    def charge(
        self, split: SplitIdentity, certificates: Sequence[KnownCertificate], asked: float
    ) -> KnownSplits:
        """The accounts with these certificates; `DeltaExhausted` if one model has too little delta left.

        A computation that is known costs nothing in any place. `asked`: delta that all certificates of the
        run may spend together.
        """
        if not certificates:
            return self
        held = {one.key for one in self.holding(split)}
        fresh = {one.key: one for one in certificates if one.key not in held and one.delta > 0}
        budget = self.budget(split, asked)
        for model in {one.model for one in fresh.values()}:
            own = tuple(one for one in fresh.values() if one.model == model)
            if self.spent(split, model) + sum(one.delta for one in own) > budget + ROUNDING:
                raise DeltaExhausted(self._refusal(split, own, budget))
        return self.record(split, certificates, budget if fresh else 0.0)

    def record(
        self, split: SplitIdentity, certificates: Iterable[KnownCertificate], budget: float
    ) -> KnownSplits:
        """The accounts with certificates that exist, without a check; those that are known stay as they are.

        `budget`: that of a split without one.
        """
        known = self.splits.get(split.digest, KnownSplit(split.units, split.sketch))
        there = {(one.key, one.place) for one in known.certificates if not one.withdrawn}
        new = tuple(
            one for one in dict.fromkeys(certificates) if one.withdrawn or (one.key, one.place) not in there
        )
        added = replace(
            known,
            budget=known.budget or budget,
            certificates=_ordered((*known.certificates, *new)),
            aliases=known.aliases | split.aliases,
        )
        return KnownSplits({**self.splits, split.digest: added})

    def withdraw(self, split: SplitIdentity, fingerprints: Iterable[str], at: str) -> KnownSplits:
        """The accounts with the certificates of these computations withdrawn: kept, and no longer charged."""
        gone = set(fingerprints)
        return self._changed(
            split,
            lambda one: replace(one, withdrawn=at) if one.fingerprint in gone and not one.withdrawn else one,
        )

    def moved(self, split: SplitIdentity, place: str, now: str) -> KnownSplits:
        """The accounts with the certificates of one place under another name, for a folder that is new."""
        return self._changed(split, lambda one: replace(one, place=now) if one.place == place else one)

    def _changed(
        self, split: SplitIdentity, change: Callable[[KnownCertificate], KnownCertificate]
    ) -> KnownSplits:
        known = {digest: self.splits[digest] for digest in self._same(split)}
        changed = {
            digest: replace(one, certificates=tuple(map(change, one.certificates)))
            for digest, one in known.items()
        }
        return KnownSplits({**self.splits, **changed})

    def merged(self, other: KnownSplits) -> KnownSplits:
        """The union with another user's accounts. No entry is lost, and of two budgets the smaller holds."""
        splits = dict(self.splits)
        for digest, theirs in other.splits.items():
            mine = splits.get(digest)
            if mine is None:
                splits[digest] = theirs
                continue
            budgets = [one.budget for one in (mine, theirs) if one.budget > 0]
            both = {(one.key, one.place, one.at): one for one in theirs.certificates}
            for one in mine.certificates:
                copy = both.get((one.key, one.place, one.at))
                # A withdrawal that only one side has seen is true on the other side too.
                both[one.key, one.place, one.at] = copy if copy is not None and copy.withdrawn else one
            splits[digest] = replace(
                mine,
                budget=min(budgets, default=0.0),
                certificates=_ordered(both.values()),
                aliases=mine.aliases | theirs.aliases,
            )
        return KnownSplits(splits)

    def _refusal(self, split: SplitIdentity, asked: Sequence[KnownCertificate], budget: float) -> str:
        held = self.holding(split, asked[0].model)
        needed = sum(one.delta for one in asked)
        left = max(0.0, budget - sum(one.delta for one in held))
        earlier = "; ".join(f"{one.what}, delta {one.delta:g}, in {one.place} at {one.at}" for one in held)
        smaller = f"certify with a delta of at most {left:g}, or label" if left > ROUNDING else "label"
        return (
            f"certifying {', '.join(repr(one.what) for one in asked)} asks for delta {needed:g}, but "
            f"{left:g} of {budget:g} is left for this model on calibration split "
            f"{split.digest[:12]}, whose labels have proven {len(held)} certificate(s) of it: "
            f"{earlier}. All certificates of one model on one split share its delta, in whichever folder "
            f"they are: {smaller} a fresh calibration split, or give each certificate a smaller share from "
            "the first on (--delta). `demur ledger show` lists the account"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {
            digest: {
                "units": known.units,
                "budget": known.budget,
                "certificates": [asdict(one) for one in known.certificates],
                "sketch": known.sketch.to_dict(),
                "aliases": sorted(known.aliases),
            }
            for digest, known in self.splits.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; `LedgerError` for anything else."""
        try:
            return cls({str(digest): _known_split(split) for digest, split in values.items()})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise LedgerError(f"no accounts of calibration splits: {error!r}") from error


def _ordered(certificates: Iterable[KnownCertificate]) -> tuple[KnownCertificate, ...]:
    return tuple(sorted(certificates, key=lambda one: one.at))


def _known_split(values: Mapping[str, Any]) -> KnownSplit:
    budget = float(values["budget"])
    if not 0.0 <= budget < 1.0:
        raise ValueError(f"budget is {budget!r}; it must lie between 0 and 1")
    return KnownSplit(
        int(values["units"]),
        SplitSketch.from_dict(values["sketch"]),
        budget,
        tuple(_known_certificate(one) for one in values["certificates"]),
        frozenset(map(str, values.get("aliases", ()))),
    )


def _known_certificate(values: Mapping[str, Any]) -> KnownCertificate:
    delta = float(values["delta"])
    if not 0.0 <= delta < 1.0:
        raise ValueError(f"delta is {delta!r}; it must lie between 0 and 1")
    texts = {name: str(values[name]) for name in ("what", "fingerprint", "place", "at", "withdrawn")}
    later = {name: str(values.get(name, "")) for name in ("made_by", "model")}
    return KnownCertificate(delta=delta, **texts, **later)
