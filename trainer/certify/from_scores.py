"""`demur calibrate --scores FILE`: a certificate on a table of scores from any classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from calibration.certificate import Certificate, CertifiedOn
from calibration.exact.fallback import RiskLadder, RiskSequence, certify_several
from calibration.exact.fixed_sequence import certify
from calibration.exact.intersection_union import JointCertificate, certify_answers, certify_slices
from calibration.exact.strata import AnswerLabels, Slices
from calibration.groups import Sampling
from calibration.ledger import Ledger
from trainer.run.folder import read_json, write_json
from trainer.run.promise import PromiseConfig
from trainer.scoring.score_file import (
    ScoredTable,
    ScoreFileColumns,
    ScoreFileError,
    column_of,
    read_scored,
    texts,
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CertifiedScores(Generic[Result]):
    """The result of certification on a table of scores."""

    result: Result
    warnings: tuple[str, ...]
    ledger: Path
    """File in which the charge is entered"""


def certify_scores(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns
) -> CertifiedScores[Certificate]:
    """Certify `confidence >= threshold` on every row of a parquet or CSV file.

    The thresholds are the confidences themselves, so all labels serve the proof; the images of the rows must
    be new to the scored model and to its selection. The charge is entered in a ledger beside the file, by
    what is read of the rows, in any order, and by the digest of the file: neither another order of the rows
    nor another column gives new delta.
    """
    scored = _scored(path, promise, columns, ("exact", "look-ahead"))
    ledger = _charge(path, scored, promise, columns, "all answers together")
    certificate = certify(
        scored.confidence,
        scored.errors,
        None,
        promise.target,
        _sampling(promise, scored),
        method="look-ahead" if promise.certificate == "look-ahead" else "rank start",
        certified_on=CertifiedOn(scored.digest),
    )
    return CertifiedScores(certificate, scored.warnings, ledger)


def certify_each(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, slices: str | None
) -> CertifiedScores[JointCertificate]:
    """`certify_scores` for each value of the column `slices`, or for each answer if `slices` is None."""
    what = "each answer" if slices is None else f"each value of {slices}"
    scored = _scored(path, promise, columns)
    members = None if slices is None else texts(column_of(scored.table, slices, path))
    ledger = _charge(path, scored, promise, columns, what, members)
    ranks = np.unique(scored.confidence)[::-1]
    sampling, certified_on = _sampling(promise, scored), CertifiedOn(scored.digest)
    if slices is None or members is None:
        joint = certify_answers(
            scored.confidence,
            scored.errors,
            AnswerLabels(scored.answer, scored.classes),
            ranks,
            promise.target,
            sampling,
            certified_on,
        )
    else:
        joint = certify_slices(
            scored.confidence,
            scored.errors,
            Slices(members, column=slices),
            ranks,
            promise.target,
            sampling,
            certified_on,
        )
    return CertifiedScores(joint, scored.warnings, ledger)


def certify_risks(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, alphas: Sequence[float]
) -> CertifiedScores[RiskLadder]:
    """`certify_scores` for several risks in this order, together at the promise's delta."""
    scored = _scored(path, promise, columns)
    ledger = _charge(path, scored, promise, columns, f"alphas {', '.join(f'{a:g}' for a in alphas)}")
    ladder = certify_several(
        scored.confidence,
        scored.errors,
        np.unique(scored.confidence)[::-1],
        RiskSequence(tuple(alphas)),
        promise.target,
        _sampling(promise, scored),
        CertifiedOn(scored.digest),
    )
    return CertifiedScores(ladder, scored.warnings, ledger)


def _scored(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, methods: Sequence[str] = ("exact",)
) -> ScoredTable:
    if promise.certificate not in methods:
        raise ScoreFileError(
            f"certificate is {promise.certificate!r}; this promise on a table of scores is certified by "
            f"{' or '.join(repr(name) for name in methods)} only"
        )
    return read_scored(path, columns)


def _charge(
    path: Path,
    scored: ScoredTable,
    promise: PromiseConfig,
    columns: ScoreFileColumns,
    what: str,
    members: NDArray[np.str_] | None = None,
) -> Path:
    """Enter the charge and return the ledger; `DeltaExhausted` if too little delta is left."""
    ledger = path.with_name(f"{path.name}.ledger.json")
    known = Ledger.from_dict(read_json(ledger)) if ledger.is_file() else Ledger(promise.delta)
    sliced = "" if members is None else "\0".join(members)
    computation = f"{promise.model_dump_json(exclude_none=True)}{columns}{what}{sliced}"
    fingerprint = hashlib.sha256(computation.encode()).hexdigest()
    entry = f"{promise.certificate}: scores of {path.name}, {what}, alpha {promise.alpha:g}"
    for digest in (scored.digest, scored.file_digest):
        known = known.charge(digest, entry, promise.delta, fingerprint)
    write_json(ledger, known.to_dict())
    return ledger


def _sampling(promise: PromiseConfig, scored: ScoredTable) -> Sampling:
    return promise.sampling(scored.groups)
