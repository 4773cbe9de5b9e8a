"""`demur calibrate`: the promise chosen on the command line, and the certificate in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Self

from bundle.extras import ENGINE, require_modules
from calibration.certificate import Certificate, write_certificates
from demur.commands.results import certificate_values, run_values
from demur.commands.shares import parse_shares
from demur.output import print_warning, run_console, write_json
from trainer.bundling.rerun import Recalibration, recalibrate
from trainer.certify.from_scores import (
    CertifiedScores,
    certify_each,
    certify_risks,
    certify_scores,
    certify_shares,
)
from trainer.certify.wording import part_lines, risk_lines, share_lines, thresholds_in_words
from trainer.data.annotate import NO_GROUPS
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.disk import explain_disk_errors
from trainer.run.folder import write_bytes
from trainer.run.promise import PromiseConfig
from trainer.scoring.score_file import ScoreFileColumns

OVER_ALL_ANSWERS: Mapping[str, Any] = {
    "each_answer": False,
    "slices": "",
    "alphas": (),
    "prevalence": (),
    "unlabelled": {},
}
"""Fields of `PromiseConfig` for the promise over all answers together."""


@dataclass(frozen=True, slots=True)
class PromiseChoice:
    """The kind of promise: over all answers, for each answer or slice, several risks, or for class shares."""

    each_answer: bool | None = None
    """True: for each answer; False: over all answers; None: not chosen"""
    slices: str | None = None
    """Metadata column whose values are the slices"""
    alphas: str | None = None
    """Several risks in the order of testing, separated by commas"""
    prevalence: str | None = None
    """Interval of the share of class 1, or one per class, separated by commas"""
    prevalence_from: str | None = None
    """Source of unlabelled images in which the shares are found"""

    def __post_init__(self) -> None:
        asked = [name for name, is_asked in self._kinds().items() if is_asked]
        if len(asked) > 1:
            raise RunError(f"{' and '.join(asked)} are different promises; choose one")

    def _kinds(self) -> Mapping[str, bool]:
        return {
            "--each-answer": bool(self.each_answer),
            "--slices": self.slices is not None,
            "--alphas": self.alphas is not None,
            "--prevalence": self.prevalence is not None,
            "--prevalence-from": self.prevalence_from is not None,
        }

    def changes(self) -> Mapping[str, Any]:
        """Fields of `PromiseConfig` that make it this kind of promise and no other.

        Empty if nothing is chosen: a run then keeps its kind of promise.
        """
        if self.prevalence_from is not None:
            return OVER_ALL_ANSWERS
        shares = parse_shares(self.prevalence)
        if shares is not None:
            return {**OVER_ALL_ANSWERS, "prevalence": shares}
        if not (self.each_answer or self.slices or self.alphas):
            return OVER_ALL_ANSWERS if self.each_answer is False else {}
        alphas = () if self.alphas is None else tuple(parse_alphas(self.alphas))
        chosen = {"each_answer": bool(self.each_answer), "slices": self.slices or "", "alphas": alphas}
        return {**OVER_ALL_ANSWERS, **chosen, **({"alpha": alphas[0]} if alphas else {})}


def calibrate_run(
    run: Path, changes: Mapping[str, Any], choice: PromiseChoice, group: str | None, *, as_json: bool
) -> None:
    """`certify_run`, with the result on standard output. Raises ExtraMissing without an engine, which the
    golden cases of the bundle need, before any delta is charged."""
    require_modules("calibrate RUN", (ENGINE,))
    result = certify_run(run, changes, choice, group, run_console(as_json))
    if as_json:
        write_json(run_values(result, run))
    else:
        print(*result.summary, sep="\n")


def calibrate_table(
    path: Path,
    changes: Mapping[str, Any],
    columns: ScoreFileColumns,
    choice: PromiseChoice,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """`certify_table`, with the result on standard output and its certificates in the file `out`.

    A file that cannot be written is refused before any delta is charged.
    """
    if out is not None:
        require_certificate_file(out)
    found = certify_table(path, changes, columns, choice)
    if out is not None:
        write_bytes(out, write_certificates(found.certificates).encode())
    for warning in found.warnings:
        print_warning(f"WARNING: {warning}")
    if as_json:
        write_json(found.to_dict() | {"file": out})
        return
    print(*found.lines(), sep="\n")
    if out is not None:
        print(f"certificate: {out}")


def require_certificate_file(out: Path) -> None:
    """Raise RunError or DiskError unless `out` can become a certificate file."""
    if out.suffix.lower() != ".json" or out.is_dir():
        raise RunError(f"out is {out}; it must be a file that ends in .json")
    with explain_disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=out.parent):
            return


def certify_run(
    run: Path,
    changes: Mapping[str, Any],
    choice: PromiseChoice,
    group: str | None = None,
    console: RunConsole | None = None,
) -> Recalibration:
    """Certify a finished run with `changes` of its promise.

    A new alpha ends a ladder of several risks, unless one is chosen. `group`: `none` says that no images of
    the run belong together. Raises as `recalibrate` does, and RunError for another group.
    """
    if group not in (None, NO_GROUPS):
        raise RunError(
            f"--group is {group!r}; the splits of a finished run stay as they are: train or wrap again with "
            f"--group {group}, or say that every image stands alone with --group {NO_GROUPS}"
        )
    single = {} if changes.get("alpha") is None else {"alphas": ()}
    changed = {**changes, **single, **choice.changes()}
    return recalibrate(
        run,
        changed,
        no_groups=group == NO_GROUPS,
        prevalence_from=choice.prevalence_from,
        console=console,
    )


@dataclass(frozen=True, slots=True)
class TableCertificates:
    """The certificates on a table of scores: one, or one per risk in the order of testing."""

    table: Path
    certificates: tuple[Certificate, ...]
    coverage_alone: tuple[float, ...] | None
    """Coverage of each without what it shares with the others, or without its parts; None: nothing shared"""
    summary: tuple[str, ...]
    warnings: tuple[str, ...]
    ledger: Path
    known: str
    """The place of the certificates among all on these rows"""

    @classmethod
    def of(
        cls,
        table: Path,
        proof: CertifiedScores[Any],
        certificates: tuple[Certificate, ...],
        summary: tuple[str, ...],
        coverage_alone: tuple[float, ...] | None = None,
    ) -> Self:
        return cls(table, certificates, coverage_alone, summary, proof.warnings, proof.ledger, proof.known)

    def lines(self) -> tuple[str, ...]:
        return (*self.summary, f"ledger: {self.ledger}", self.known)

    def to_dict(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "certificate": certificate_values(self.certificates[0]),
            "certificates": [certificate_values(one) for one in self.certificates],
            "coverage_alone": self.coverage_alone,
            "warnings": self.warnings,
            "ledger": self.ledger,
            "known": self.known,
        }


def certify_table(
    path: Path, changes: Mapping[str, Any], columns: ScoreFileColumns, choice: PromiseChoice
) -> TableCertificates:
    """Certify a table of scores. Raises ScoreFileError, DeltaExhausted or RunError."""
    promise = PromiseConfig().changed(changes)
    if choice.alphas is not None:
        ladder = certify_risks(path, promise, columns, parse_alphas(choice.alphas))
        found = ladder.result
        lines = risk_lines(found, promise.delta)
        return TableCertificates.of(path, ladder, found.certificates, lines, found.coverage_alone)
    if choice.each_answer or choice.slices is not None:
        joint = certify_each(path, promise, columns, choice.slices)
        certificate, overall = joint.result.certificate, joint.result.coverage_overall
        lines = (*_certificate_lines(certificate), *part_lines(certificate, overall))
        return TableCertificates.of(path, joint, (certificate,), lines, (overall,))
    if choice.prevalence_from is not None:
        raise RunError(
            "--prevalence-from scores images with the models of a run, so it is for RUN; give a table the "
            "shares themselves, with --prevalence"
        )
    shares = parse_shares(choice.prevalence)
    if shares is not None:
        proof = certify_shares(path, promise, columns, shares)
        certificate, ordinary = proof.result
        lines = (*_certificate_lines(certificate), *share_lines(certificate, ordinary))
        return TableCertificates.of(path, proof, (certificate,), lines, (ordinary.coverage,))
    single = certify_scores(path, promise, columns)
    return TableCertificates.of(path, single, (single.result,), _certificate_lines(single.result))


def _certificate_lines(certificate: Certificate) -> tuple[str, ...]:
    if not certificate.feasible:
        return (certificate.sentence(),)
    at = f"Answer where the confidence is at least {thresholds_in_words(certificate)}."
    return certificate.sentence(), at


def parse_alphas(text: str) -> list[float]:
    """Risks separated by commas. Raises RunError that names the part that is no risk."""
    try:
        alphas = [float(part) for part in text.split(",")]
    except ValueError:
        raise RunError(f"--alphas is {text!r}; give numbers separated by commas, like 0.01,0.02") from None
    if faulty := [alpha for alpha in alphas if not 0.0 < alpha < 1.0]:
        raise RunError(f"--alphas holds {faulty[0]:g}; each must lie strictly between 0 and 1")
    if len(set(alphas)) < len(alphas):
        raise RunError(f"--alphas is {text!r}; name each risk once")
    return alphas
