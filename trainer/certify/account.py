"""The account of a run's calibration split: the run's ledger and the user's, which must agree.

Both are written before labels of the split are read, the run's first: a run that ends between the two is
entered in the user's ledger at its next certification.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from calibration.known_splits import USUAL_BUDGET, KnownCertificate, KnownSplits, SplitIdentity
from calibration.ledger import ROUNDING, Ledger
from trainer.certify.user_ledger import Accounts, now, open_accounts
from trainer.choices import CertificateName
from trainer.errors import RunError
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.run.promise import PromiseConfig
from trainer.run.record import RememberedLedger, remember_ledger, remembered_ledger
from trainer.scoring.split_scores import SplitScores

CHARGED: frozenset[CertificateName] = frozenset({"exact", "look-ahead", "scrc-i"})
"""Methods that hold with confidence 1 - delta, and so spend delta"""


class LedgerDisagrees(RunError):
    """ledger.json of a run is missing, or lacks entries that run.json or the user's ledger holds."""


@dataclass(slots=True)
class RunAccount:
    """The account of one run's calibration split while the user's ledger is locked."""

    run: RunFolder
    calib: SplitScores
    ledger: Ledger
    """The run's own"""
    budget: float
    accounts: Accounts
    split: SplitIdentity
    place: str
    known: KnownSplits

    def charged(
        self, after: Ledger, readings: Iterable[KnownCertificate] = (), withdrawn: Iterable[str] = ()
    ) -> KnownSplits:
        """The user's accounts with all charges of `after`; `DeltaExhausted` if too little delta is left.

        `readings`: certificates that read labels and spend no delta. `withdrawn`: fingerprints of
        certificates that are withdrawn first.
        """
        known = self.known.withdraw(self.split, withdrawn, now())
        entries = (*_entries(after, self.calib.digest, self.place), *readings)
        return known.charge(self.split, entries, self.budget)

    def enter(self, after: Ledger, known: KnownSplits, own: Sequence[tuple[str, float]]) -> None:
        """Write both ledgers, and what run.json remembers of them.

        `own`: keys of the certificates that the bundle will hold.
        """
        write_json(self.run.ledger, after.to_dict())
        self.accounts.save(known)
        entries, total = _size(after)
        said = sentence(known, self.split, own)
        remember_ledger(self.run, RememberedLedger(entries=entries, total=total, sentence=said))


@contextmanager
def run_account(run: RunFolder, calib: SplitScores, budget: float) -> Iterator[RunAccount]:
    """The account of val_calib. Raises `LedgerDisagrees`.

    `budget`: delta that all certificates of the run share if it has none yet.
    """
    split, place = SplitIdentity.of(calib.identities), str(run.root.resolve())
    with open_accounts() as accounts:
        known = accounts.known
        is_new = not run.ledger.is_file() and remembered_ledger(run) is None
        ledger = read_ledger(run, budget)
        if is_new:
            # A folder of this name that was removed has no ledger to agree with; its charges stay.
            known = known.moved(split, place, f"{place} (an earlier folder of this name)")
        _require_entries(run, ledger, known.at_place(split, place))
        # Certificates of an earlier version, of a copied folder, or of a run that ended while it charged.
        own = _entries(ledger, calib.digest, place)
        if own:
            known = known.record(split, own, max(USUAL_BUDGET, ledger.budget))
        yield RunAccount(run, calib, ledger, budget, accounts, split, place, known)


def read_ledger(run: RunFolder, budget: float) -> Ledger:
    """The run's ledger; a new one with `budget` if nothing was certified yet.

    `LedgerDisagrees` if run.json remembers more of it.
    """
    ledger = Ledger.from_dict(read_json(run.ledger)) if run.ledger.is_file() else Ledger(budget=budget)
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


def keep_ledger(run: RunFolder, budget: float) -> None:
    """Write the run's ledger as it is, for a policy that reads no label of val_calib."""
    ledger = read_ledger(run, budget)
    write_json(run.ledger, ledger.to_dict())
    entries, total = _size(ledger)
    remember_ledger(run, RememberedLedger(entries=entries, total=total))


def spends_delta(promise: PromiseConfig) -> bool:
    """Whether the promised method holds with confidence 1 - delta, not only in expectation."""
    return promise.certificate in CHARGED


def account_warning(units: Iterable[str], promise: PromiseConfig) -> str | None:
    """A warning, before a model is trained, if too little delta is left for a new certificate.

    Only the same computation as before is free then. Raises `LedgerUnavailable` and `DamagedLedger`, so that
    neither ends a run after its training.
    """
    if not spends_delta(promise):
        return None
    split = SplitIdentity.of(units)
    with open_accounts() as accounts:
        known = accounts.known
    left, held = known.left(split), known.certificates(split)
    if not held or left >= promise.delta - ROUNDING:
        return None
    last = held[-1]
    return (
        f"Calibration split {split.digest[:12]} has {left:g} of delta {known.budget(split):g} left, because "
        f"it is known from {last.place} ({last.what}, {last.at}): unless this run repeats that computation "
        "exactly, its certificate will be refused. Label a fresh calibration split, or train with "
        "--certificate none; `demur ledger show` lists the account"
    )


def enter_reading(units: Iterable[str], what: str, fingerprint: str, place: Path) -> None:
    """Enter labels that are read for figures and promise nothing, before they are read."""
    split = SplitIdentity.of(units)
    reading = KnownCertificate(what, 0.0, fingerprint, str(place.resolve()), now())
    with open_accounts() as accounts:
        accounts.save(accounts.known.charge(split, [reading], 0.0))


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
    return (
        f"{which} of this calibration split known here; all {len(every)}{withdrawn} share delta "
        f"{known.budget(split):g}"
    )


_WAY_OUT = (
    "restore it from a backup, or start again in a new folder (the same computation on the same split costs "
    "nothing; `demur ledger show` lists what is charged)"
)


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


def _entries(ledger: Ledger, digest: str, place: str) -> tuple[KnownCertificate, ...]:
    at = now()
    return tuple(
        KnownCertificate(entry.what, entry.delta, entry.fingerprint, place, at)
        for entry in ledger.entries(digest)
    )


def _size(ledger: Ledger) -> tuple[int, float]:
    """Number of entries, and their delta together."""
    entries = [entry for account in ledger.accounts.values() for entry in account]
    return len(entries), sum(entry.delta for entry in entries)
