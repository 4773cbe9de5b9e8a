"""Delta of several certificates together, and the withdrawal of earlier ones that have spent it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from calibration.errors import DeltaExhausted
from calibration.ledger import ROUNDING, Ledger
from trainer.certify.account import open_account, read_ledger, split_of
from trainer.certify.certification import charge, fingerprint, key_of, readings_of
from trainer.certify.evidence import Evidence
from trainer.errors import RunError
from trainer.run.folder import RunFolder, read_json, write_json


class NeedsReissue(RunError):
    """The delta is spent: earlier certificates of the run must be withdrawn first."""


def require_room(run: RunFolder, digest: str, budget: float, shares: int) -> None:
    """Raise `NeedsReissue` if one certificate has spent what `shares` certificates, 2 or more, would share.

    For a check before images are read and scored; `spend` decides. `digest`: of the calibration split.
    """
    ledger = read_ledger(run, budget)
    if all(entry.delta <= budget / 2 + ROUNDING for entry in ledger.entries(digest)):
        return  # They may be the same certificates, which cost nothing again.
    try:
        ledger.charge(digest, f"{shares} engines and precisions together", budget)
    except DeltaExhausted as error:
        raise NeedsReissue(f"{error}. {_HELPS}") from None


def spend(
    run: RunFolder, evidence: Sequence[Evidence], budget: float, *, reissue: bool, reserve: bool = False
) -> str | None:
    """Charge the ledgers of run and user for every certificate, before a label of val_calib is read.

    All are charged or none. `evidence`: with its path, see `certification.as_charged`. `budget`: the delta of
    a calibration split without certificates. `reserve`: one more share is charged, for an engine of another
    machine. If too little delta is left, `NeedsReissue` is raised where a withdrawal of the run's earlier
    certificates would make room, and `DeltaExhausted` elsewhere; with `reissue` they are withdrawn,
    withdrawn.json records them, and the returned notice, for the bundle, says so.
    """
    calib, own = evidence[0].calib, key_of(*evidence)
    account, digest = open_account(run, split_of(calib), calib.digest, budget), calib.digest
    ledger = account.ledger
    readings = [reading for one in evidence for reading in readings_of(one, account.place)]
    try:
        account.enter(_charged(ledger, evidence, reserve), own, readings)
        return None
    except DeltaExhausted as error:
        if not ledger.entries(digest):
            raise
        exhausted = error
    others = {split: entries for split, entries in ledger.accounts.items() if split != digest}
    gone = [entry.fingerprint for entry in ledger.entries(digest)]
    try:
        renewed = _charged(Ledger(ledger.budget, others), evidence, reserve)
        account.require(renewed, gone)
    except DeltaExhausted as error:
        raise DeltaExhausted(f"{error}. {_NO_HELP}") from None
    if not reissue:
        raise NeedsReissue(f"{exhausted}. {_HELPS}") from None
    account.enter(renewed, own, readings, gone)
    _note_withdrawn(run, ledger, digest)
    withdrawn = "; ".join(f"{entry.what}, delta {entry.delta:g}" for entry in ledger.entries(digest))
    return (
        f"Withdrawn and proven again, {len(evidence)} certificates at delta {evidence[0].promise.delta:g} "
        f"each: {withdrawn}"
    )


_HELPS = (
    "Or withdraw the certificates of this split and certify again at a smaller delta: --reissue. That is "
    "honest if the reason for it is not what the certificate shows; the bundle states that it was done"
)
_NO_HELP = (
    "To withdraw the certificates of this folder (--reissue) would not make enough room: the others stay, "
    "wherever they are"
)


def _charged(ledger: Ledger, evidence: Sequence[Evidence], reserve: bool) -> Ledger:
    for one in evidence:
        ledger = charge(one, ledger)
    if not reserve:
        return ledger
    # Free for the same certificates again; others would be another certificate on the other machine.
    whole = hashlib.sha256("\n".join(map(fingerprint, evidence)).encode()).hexdigest()
    return ledger.charge(
        evidence[0].calib.digest, "one engine that is not here", evidence[0].promise.delta, whole
    )


def _note_withdrawn(run: RunFolder, ledger: Ledger, digest: str) -> None:
    before = read_json(run.withdrawn) if run.withdrawn.is_file() else []
    at = datetime.now(UTC).isoformat(timespec="seconds")
    now = [
        {
            "at": at,
            "split": digest,
            "what": entry.what,
            "delta": entry.delta,
            "fingerprint": entry.fingerprint,
        }
        for entry in ledger.entries(digest)
    ]
    write_json(run.withdrawn, [*before, *now])
