"""Delta for several certificates at once, and what happens where an earlier one has spent it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from calibration.errors import DeltaExhausted
from calibration.ledger import Ledger
from trainer.certify.certification import charge, fingerprint, read_ledger
from trainer.certify.evidence import Evidence
from trainer.errors import RunError
from trainer.run.folder import RunFolder, read_json, write_json


class NeedsReissue(RunError):
    """The certificates that the run has would have to be withdrawn first."""


def spend(
    run: RunFolder, family: Sequence[Evidence], budget: float, *, reissue: bool, reserve: bool = False
) -> str | None:
    """Charge the run's ledger for every member of `family`, before a label of val_calib is read.

    All are charged or none. `budget` is the delta of a calibration split that nothing was proven on;
    with `reserve` as much as for each member is charged for one engine that is not here.
    Where too little of it is left: `NeedsReissue`, or with `reissue` the earlier certificates of the
    split are withdrawn, which withdrawn.json records; the text says so to whoever reads the bundle.
    """
    ledger = read_ledger(run, budget)
    try:
        write_json(run.ledger, _charged(ledger, family, reserve).to_dict())
        return None
    except DeltaExhausted as error:
        if not reissue:
            raise NeedsReissue(
                f"{error}. Or withdraw what was proven on it and prove all of it anew at a smaller delta: "
                "--reissue. That is honest where the wish for it does not come from having seen the "
                "certificate; the bundle will say that it was done"
            ) from None
    digest = family[0].calib.digest
    others = {split: entries for split, entries in ledger.accounts.items() if split != digest}
    renewed = _charged(Ledger(ledger.budget, others), family, reserve)
    _note_withdrawn(run, ledger, digest)
    write_json(run.ledger, renewed.to_dict())
    told = "; ".join(f"{entry.what}, delta {entry.delta:g}" for entry in ledger.entries(digest))
    return (
        f"Withdrawn and proven again, {len(family)} certificates at delta {family[0].promise.delta:g} each: "
        f"{told}"
    )


def _charged(ledger: Ledger, family: Sequence[Evidence], reserve: bool) -> Ledger:
    for evidence in family:
        ledger = charge(evidence, ledger)
    if not reserve:
        return ledger
    # Kept for the same family again; any other would be another certificate elsewhere.
    whole = hashlib.sha256("\n".join(map(fingerprint, family)).encode()).hexdigest()
    return ledger.charge(
        family[0].calib.digest, "one engine that is not here", family[0].promise.delta, whole
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
