"""`demur calibrate --scores FILE`: a certificate on a table of scores from any classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from calibration.certificate import Certificate, CertifiedOn, ClassShares
from calibration.exact.fallback import RiskLadder, RiskSequence, certify_several
from calibration.exact.fixed_sequence import RANK_START, certify
from calibration.exact.intersection_union import JointCertificate, certify_answers, certify_slices
from calibration.exact.path_test import certify_path
from calibration.exact.paths import StagePath
from calibration.exact.strata import AnswerLabels, Slices
from calibration.exact.worlds import certify_prevalence
from calibration.groups import Sampling
from calibration.known_splits import USUAL_BUDGET, KnownCertificate, SplitIdentity
from calibration.ledger import Ledger
from trainer.certify.account import sentence
from trainer.certify.shares import class_shares
from trainer.certify.user_ledger import change_accounts, now, place_of
from trainer.run.folder import read_json, write_json
from trainer.run.promise import PromiseConfig
from trainer.scoring.score_file import ScoredTable, ScoreFileColumns, read_scored
from trainer.scoring.table_file import ScoreFileError, column_of, texts

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CertifiedScores(Generic[Result]):
    """The result of certification on a table of scores."""

    result: Result
    warnings: tuple[str, ...]
    ledger: Path
    """File in which the charge is entered"""
    known: str
    """The place of the certificate among all on these rows that the user's ledger holds"""


def certify_scores(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns
) -> CertifiedScores[Certificate]:
    """Certify `confidence >= threshold` on every row of a parquet or CSV file.

    The thresholds are the confidences themselves, so all labels serve the proof; the images of the rows must
    be new to the scored model and to its selection. The charge is entered in a ledger beside the file, by
    what is read of the rows, in any order, and by the digest of the file: neither another order of the rows
    nor another column gives new delta. The user's ledger holds it by the rows without their labels, so that
    neither a copy of the file nor other labels do.
    """
    scored = _scored(path, promise, columns, ("exact", "look-ahead"))
    ledger, known = _charge(path, scored, promise, columns, "all answers together")
    certificate = certify(
        scored.confidence,
        scored.errors,
        None,
        promise.target,
        _sampling(promise, scored),
        method="look-ahead" if promise.certificate == "look-ahead" else "rank start",
        certified_on=CertifiedOn(scored.digest),
    )
    return CertifiedScores(replace(certificate, doubt=scored.doubt), scored.warnings, ledger, known)


def certify_each(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, slices: str | None
) -> CertifiedScores[JointCertificate]:
    """`certify_scores` for each value of the column `slices`, or for each answer if `slices` is None."""
    what = "each answer" if slices is None else f"each value of {slices}"
    scored = _scored(path, promise, columns)
    members = None if slices is None else texts(column_of(scored.table, slices, path))
    ledger, known = _charge(path, scored, promise, columns, what, members)
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
    joint = replace(joint, certificate=replace(joint.certificate, doubt=scored.doubt))
    return CertifiedScores(joint, scored.warnings, ledger, known)


def certify_shares(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, shares: ClassShares
) -> CertifiedScores[tuple[Certificate, Certificate]]:
    """`certify_scores` at every one of these class shares, and for comparison over all rows as they are."""
    scored = _scored(path, promise, columns)
    prevalence = class_shares(shares, [f"label {label}" for label in range(scored.classes)])
    ledger, known = _charge(path, scored, promise, columns, f"shares {shares}")
    policies = StagePath.read(scored.confidence, scored.errors, None)
    sampling, certified_on = _sampling(promise, scored), CertifiedOn(scored.digest)
    certificate = certify_prevalence(
        policies,
        scored.labels,
        prevalence,
        promise.target,
        sampling,
        test=RANK_START,
        certified_on=certified_on,
    )
    ordinary = certify_path(policies, promise.target, sampling=sampling, test=RANK_START)
    result = replace(certificate, doubt=scored.doubt), ordinary
    return CertifiedScores(result, scored.warnings, ledger, known)


def certify_risks(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, alphas: Sequence[float]
) -> CertifiedScores[RiskLadder]:
    """`certify_scores` for several risks in this order, together at the promise's delta."""
    scored = _scored(path, promise, columns)
    several = f"alphas {', '.join(f'{a:g}' for a in alphas)}"
    ledger, known = _charge(path, scored, promise, columns, several)
    ladder = certify_several(
        scored.confidence,
        scored.errors,
        np.unique(scored.confidence)[::-1],
        RiskSequence(tuple(alphas)),
        promise.target,
        _sampling(promise, scored),
        CertifiedOn(scored.digest),
    )
    doubted = tuple(replace(certificate, doubt=scored.doubt) for certificate in ladder.certificates)
    return CertifiedScores(replace(ladder, certificates=doubted), scored.warnings, ledger, known)


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
) -> tuple[Path, str]:
    """Enter the charge in both ledgers, the user's first; `DeltaExhausted` if too little delta is left.

    Returns the ledger beside the file, and the place of the certificate among all on these rows. Nothing is
    compared with the labels before: `scored.errors` is read afterwards.
    """
    ledger = path.with_name(f"{path.name}.ledger.json")
    own = (
        Ledger.from_dict(read_json(ledger)) if ledger.is_file() else Ledger(max(USUAL_BUDGET, promise.delta))
    )
    sliced = "" if members is None else "\0".join(members)
    # Saying that no row belongs to a group is the same computation as saying nothing.
    columns = replace(columns, group=columns.group_column)
    computation = f"{promise.model_dump_json(exclude_none=True)}{columns}{what}{sliced}"
    fingerprint = hashlib.sha256(computation.encode()).hexdigest()
    entry = f"{promise.certificate}: scores of {path.name}, {what}, alpha {promise.alpha:g}"
    split, place = SplitIdentity.of(scored.units), place_of(path)
    if before := _known(own, scored, place):
        # The ledger beside the file may be older than the user's, or a copy.
        change_accounts(lambda known: known.record(split, before, max(USUAL_BUDGET, own.budget)))
    charged = own
    for digest in (scored.digest, scored.file_digest):
        charged = charged.charge(digest, entry, promise.delta, fingerprint)
    after = _known(charged, scored, place)
    known = change_accounts(lambda known: known.charge(split, after, promise.delta))
    write_json(ledger, charged.to_dict())
    return ledger, sentence(known, split, [(_with_rows(fingerprint, scored), promise.delta)])


def _known(own: Ledger, scored: ScoredTable, place: str) -> tuple[KnownCertificate, ...]:
    """The certificates on these rows and labels that the ledger beside the file holds."""
    at = now()
    return tuple(
        KnownCertificate(
            entry.what,
            entry.delta,
            _with_rows(entry.fingerprint, scored),
            place,
            at,
            model=scored.model_digest,
        )
        for entry in own.entries(scored.digest)
    )


def _with_rows(fingerprint: str, scored: ScoredTable) -> str:
    """Fingerprint of a computation on these rows and labels, since other labels make it another one."""
    return hashlib.sha256(f"{fingerprint}{scored.digest}".encode()).hexdigest()


def _sampling(promise: PromiseConfig, scored: ScoredTable) -> Sampling:
    return promise.sampling(scored.groups)
