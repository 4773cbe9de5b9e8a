"""The account of a run's calibration split: the run's ledger and the user's, which must agree.

All certificates of one model on one split share one delta, in whichever folder. Another model, or another
split of the same images, is certified with a delta of its own, and the bundle says with which confidence all
of them hold together.

A charge is entered before labels of the split are read: as an intent in the run's folder, then in the user's
ledger, then in the run's. A run that ends between the steps is settled by the user's ledger at its next
certification, so that an entry is in both or in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.errors import DeltaExhausted
from calibration.known_splits import USUAL_BUDGET, KnownCertificate, KnownSplits, SplitIdentity
from calibration.ledger import ROUNDING, Ledger
from trainer.certify.user_ledger import change_accounts, now, place_of, read_accounts
from trainer.choices import CertificateName
from trainer.errors import RunError
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.run.origin import origin_of_run
from trainer.run.promise import PromiseConfig
from trainer.run.record import RememberedLedger, remember_ledger, remembered_ledger
from trainer.scoring.split_scores import SplitScores

CHARGED: frozenset[CertificateName] = frozenset({"exact", "look-ahead", "scrc-i"})
"""Methods that hold with confidence 1 - delta, and so spend delta"""


class LedgerDisagrees(RunError):
    """ledger.json of a run is missing, or lacks entries that run.json or the user's ledger holds."""


@dataclass(frozen=True, slots=True)
class RunAccount:
    """The account of one run's calibration split."""

    run: RunFolder
    digest: str
    """Of the split, in the run's ledger"""
    ledger: Ledger
    """The run's own"""
    budget: float
    split: SplitIdentity
    known: KnownSplits
    """The user's accounts, with all that the run has spent"""

    @property
    def place(self) -> str:
        """Name of the run in the user's ledger."""
        return place_of(self.run.root)

    def require(self, after: Ledger, withdrawn: Iterable[str] = ()) -> None:
        """Raise `DeltaExhausted` if the charges of `after` do not fit the user's accounts; write nothing.

        `withdrawn`: fingerprints of certificates that would be withdrawn first.
        """
        self._charged(self.known, after, (), withdrawn)

    def enter(
        self,
        after: Ledger,
        own: Sequence[tuple[str, float]],
        readings: Sequence[KnownCertificate] = (),
        withdrawn: Sequence[str] = (),
    ) -> None:
        """Enter all charges of `after` in both ledgers, and what run.json remembers of them.

        `own`: keys of the certificates that the bundle will hold. `readings`: certificates that read labels
        and spend no delta. Raises `DeltaExhausted` if too little delta is left; nothing is entered then.
        """
        write_json(self.run.intended_ledger, after.to_dict())
        try:
            known = change_accounts(lambda known: self._charged(known, after, readings, withdrawn))
        except DeltaExhausted:
            self.run.intended_ledger.unlink()
            raise
        self.run.intended_ledger.replace(self.run.ledger)
        entries, total = _size(after)
        said = sentence(known, self.split, own)
        remember_ledger(self.run, RememberedLedger(entries=entries, total=total, sentence=said))

    def _charged(
        self,
        known: KnownSplits,
        after: Ledger,
        readings: Iterable[KnownCertificate],
        withdrawn: Iterable[str],
    ) -> KnownSplits:
        known = known.withdraw(self.split, withdrawn, now())
        entries = (*_entries(after, self.digest, self.run), *readings)
        return known.charge(self.split, entries, self.budget)


def split_of(calib: SplitScores) -> SplitIdentity:
    """The calibration split of a run in the user's ledger."""
    return SplitIdentity.of(calib.identities, calib.digest)


def open_account(run: RunFolder, split: SplitIdentity, digest: str, budget: float) -> RunAccount:
    """The account of a calibration split, with all that the run has spent on it entered in the user's ledger.

    So an older version's run, or a copied one, shares its account with every other run on the split from its
    first meeting on. `digest`: of the split with its labels, as the run's ledger names it. `budget`: delta
    that all certificates of the run share if it has none yet. Raises `LedgerDisagrees`.
    """
    place = place_of(run.root)
    known = read_accounts()
    _settle(run, known.at_place(split, place))
    is_new = not run.ledger.is_file() and remembered_ledger(run) is None
    ledger = read_ledger(run, budget)
    own = _entries(ledger, digest, run)

    def met(known: KnownSplits) -> KnownSplits:
        if is_new:
            # A folder of this name that was removed has no ledger to agree with; its charges stay.
            known = known.moved(split, place, f"{place} (an earlier folder of this name)")
        return known.record(split, own, max(USUAL_BUDGET, ledger.budget)) if own else known

    _require_entries(run, ledger, () if is_new else known.at_place(split, place))
    return RunAccount(run, digest, ledger, budget, split, change_accounts(met))


def read_ledger(run: RunFolder, budget: float) -> Ledger:
    """The run's ledger; a new one with `budget` if nothing was certified yet.

    `LedgerDisagrees` if run.json remembers more of it.
    """
    ledger = (
        Ledger.from_dict(read_json(run.ledger)) if run.ledger.is_file() else Ledger(max(USUAL_BUDGET, budget))
    )
    remembered, (entries, total) = remembered_ledger(run), _size(ledger)
    if remembered is not None and (entries < remembered.entries or total < remembered.total - ROUNDING):
        state = (
            f"holds {entries} certificate(s) of delta {total:g} together"
            if run.ledger.is_file()
            else "is missing"
        )
        raise LedgerDisagrees(
            f"{run.ledger} {state}, but {run.record} remembers {remembered.entries} of delta "
            f"{remembered.total:g}; {_WAY_OUT}"
        )
    return ledger


def keep_ledger(run: RunFolder, calib: SplitScores, budget: float) -> None:
    """Write the run's ledger as it is, for a policy that reads no label of val_calib."""
    ledger = read_ledger(run, budget)
    if ledger.entries(calib.digest) or run.intended_ledger.is_file():
        ledger = open_account(run, split_of(calib), calib.digest, budget).ledger
    write_json(run.ledger, ledger.to_dict())
    entries, total = _size(ledger)
    remember_ledger(run, RememberedLedger(entries=entries, total=total))


def spends_delta(promise: PromiseConfig) -> bool:
    """Whether the promised method holds with confidence 1 - delta, not only in expectation."""
    return promise.certificate in CHARGED


def enter_reading(units: Iterable[str], what: str, fingerprint: str, place: Path) -> None:
    """Enter labels that are read for figures and promise nothing, before they are read."""
    split = SplitIdentity.of(units)
    reading = KnownCertificate(what, 0.0, fingerprint, place_of(place), now())
    change_accounts(lambda known: known.charge(split, [reading], 0.0))


def sentence(known: KnownSplits, split: SplitIdentity, keys: Sequence[tuple[str, float]]) -> str:
    """The place of these certificates among all on their split, for the bundle."""
    every = known.certificates(split)
    numbers = [place for place, one in enumerate(every, start=1) if one.key in set(keys)]
    if not numbers:
        return ""
    first, last = numbers[0], numbers[-1]
    which = f"Certificate {first}" if first == last else f"Certificates {first} to {last}"
    gone = sum(bool(one.withdrawn) for one in every)
    withdrawn = f", {gone} of them withdrawn" if gone else ""
    if len(every) == 1:
        return f"{which} of this calibration split known here"
    held = known.holding(split)
    share = (
        f"share delta {known.budget(split):g}"
        if not held or held == known.holding(split, held[0].model)
        else f"hold together with {together(known, split)}"
    )
    return f"{which} of this calibration split known here; all {len(every)}{withdrawn} {share}"


def together(known: KnownSplits, split: SplitIdentity, further: float = 0.0) -> str:
    """Confidence with which all certificates on a split hold, in words; `further`: delta of one more."""
    confidence = max(0.0, known.confidence(split) - further)
    return f"{100 * confidence:.4g} % confidence" if confidence > ROUNDING else "no confidence"


_WAY_OUT = (
    "restore it from a backup, or start again in a new folder (the same computation on the same split costs "
    "nothing; `demur ledger show` lists what is charged)"
)


def _settle(run: RunFolder, known: Sequence[KnownCertificate]) -> None:
    """Finish a charge that was interrupted if the user's ledger has it; otherwise it was never made."""
    intended = run.intended_ledger
    if not intended.is_file():
        return
    ledger = Ledger.from_dict(read_json(intended))
    keys = {one.key for one in known}
    entries = [entry for account in ledger.accounts.values() for entry in account]
    before = Ledger.from_dict(read_json(run.ledger)) if run.ledger.is_file() else Ledger()
    there = {entry.fingerprint for account in before.accounts.values() for entry in account}
    if all(entry.fingerprint in there or (entry.fingerprint, entry.delta) in keys for entry in entries):
        intended.replace(run.ledger)
    else:
        intended.unlink()


def _require_entries(run: RunFolder, ledger: Ledger, known: Sequence[KnownCertificate]) -> None:
    there = {(entry.fingerprint, entry.delta) for entries in ledger.accounts.values() for entry in entries}
    missing = [one for one in known if one.delta > 0 and one.key not in there]
    if missing:
        state = "lacks" if run.ledger.is_file() else "is missing; it held"
        listed = "; ".join(f"{one.what}, delta {one.delta:g}, of {one.at}" for one in missing)
        raise LedgerDisagrees(
            f"{run.ledger} {state} {len(missing)} certificate(s) that the ledger of this user holds for the "
            f"folder: {listed}. {_WAY_OUT[0].upper()}{_WAY_OUT[1:]}"
        )


def _entries(ledger: Ledger, digest: str, run: RunFolder) -> tuple[KnownCertificate, ...]:
    at, place, origin = now(), place_of(run.root), origin_of_run(run)
    return tuple(
        KnownCertificate(
            entry.what,
            entry.delta,
            entry.fingerprint,
            place,
            at,
            made_by=origin.made_by,
            model=origin.model,
        )
        for entry in ledger.entries(digest)
    )


def _size(ledger: Ledger) -> tuple[int, float]:
    """Number of entries, and their delta together."""
    entries = [entry for account in ledger.accounts.values() for entry in account]
    return len(entries), sum(entry.delta for entry in entries)
