"""Delta of several certificates together, and the withdrawal of earlier ones that have spent it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from calibration.errors import DeltaExhausted
from calibration.ledger import Ledger
from trainer.certify.account import run_account
from trainer.certify.certification import charge, fingerprint, key_of, planned, readings_of
from trainer.certify.evidence import Evidence
from trainer.errors import RunError
from trainer.run.folder import RunFolder, read_json, write_json


class NeedsReissue(RunError):
    """The delta is spent: earlier certificates of the run must be withdrawn first."""


def spend(
    run: RunFolder, evidence: Sequence[Evidence], budget: float, *, reissue: bool, reserve: bool = False
) -> str | None:
    """Charge the ledgers of run and user for every certificate, before a label of val_calib is read.

    All are charged or none. `budget`: the delta of a calibration split without certificates. `reserve`: one
    more share is charged, for an engine of another machine. If too little delta is left, `NeedsReissue` is
    raised; with `reissue` the earlier certificates of the split are withdrawn instead, withdrawn.json
    records them, and the returned notice, for the bundle, says so.
    """
    evidence = [planned(one) for one in evidence]
    digest, own = evidence[0].calib.digest, key_of(*evidence)
    with run_account(run, evidence[0].calib, budget) as account:
        ledger = account.ledger
        readings = [reading for one in evidence for reading in readings_of(one, account.place)]
        try:
            after = _charged(ledger, evidence, reserve)
            account.enter(after, account.charged(after, readings), own)
            return None
        except DeltaExhausted as error:
            if not reissue and not ledger.entries(digest):
                raise
            if not reissue:
                raise NeedsReissue(
                    f"{error}. Or withdraw the certificates of this split and certify again at a smaller "
                    "delta: --reissue. That is honest if the reason for it is not what the certificate "
                    "shows; the bundle states that it was done"
                ) from None
        others = {split: entries for split, entries in ledger.accounts.items() if split != digest}
        renewed = _charged(Ledger(ledger.budget, others), evidence, reserve)
        gone = [entry.fingerprint for entry in ledger.entries(digest)]
        # Certificates of other folders on this split are not withdrawn, and may leave too little.
        known = account.charged(renewed, readings, withdrawn=gone)
        _note_withdrawn(run, ledger, digest)
        account.enter(renewed, known, own)
    withdrawn = "; ".join(f"{entry.what}, delta {entry.delta:g}" for entry in ledger.entries(digest))
    return (
        f"Withdrawn and proven again, {len(evidence)} certificates at delta {evidence[0].promise.delta:g} "
        f"each: {withdrawn}"
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
