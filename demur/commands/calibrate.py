"""`demur calibrate`: the promise chosen on the command line, and the certificate in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.certificate import Certificate
from calibration.exact.fallback import RiskLadder
from calibration.exact.intersection_union import JointCertificate
from trainer.bundling.rerun import recalibrate
from trainer.certify.from_scores import CertifiedScores, certify_each, certify_risks, certify_scores
from trainer.certify.wording import part_lines, risk_lines, thresholds_in_words
from trainer.data.annotate import NO_GROUPS
from trainer.errors import RunError
from trainer.run.promise import PromiseConfig
from trainer.scoring.score_file import ScoreFileColumns

OVER_ALL_ANSWERS: Mapping[str, Any] = {"each_answer": False, "slices": "", "alphas": ()}
"""Fields of `PromiseConfig` for the promise over all answers together."""


@dataclass(frozen=True, slots=True)
class PromiseChoice:
    """The kind of promise: over all answers, for each answer, for each slice, or several risks."""

    each_answer: bool | None = None
    """True: for each answer; False: over all answers; None: not chosen"""
    slices: str | None = None
    """Metadata column whose values are the slices"""
    alphas: str | None = None
    """Several risks in the order of testing, separated by commas"""

    def __post_init__(self) -> None:
        if sum((bool(self.each_answer), self.slices is not None, self.alphas is not None)) > 1:
            raise RunError("--each-answer, --slices and --alphas are different promises; choose one")

    def changes(self) -> Mapping[str, Any]:
        """Fields of `PromiseConfig` that make it this kind of promise and no other.

        Empty if nothing is chosen: a run then keeps its kind of promise.
        """
        if not (self.each_answer or self.slices or self.alphas):
            return OVER_ALL_ANSWERS if self.each_answer is False else {}
        alphas = () if self.alphas is None else tuple(parse_alphas(self.alphas))
        chosen = {"each_answer": bool(self.each_answer), "slices": self.slices or "", "alphas": alphas}
        return chosen | ({"alpha": alphas[0]} if alphas else {})


def certify_run(
    run: Path, changes: Mapping[str, Any], choice: PromiseChoice, group: str | None = None
) -> Iterable[str]:
    """Certify a finished run with `changes` of its promise; the result, one line each.

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
    return recalibrate(run, changed, no_groups=group == NO_GROUPS).summary


def certify_table(
    path: Path, changes: Mapping[str, Any], columns: ScoreFileColumns, choice: PromiseChoice
) -> Iterator[str]:
    """Certify a table of scores; the result, one line each, warnings first.

    Raises ScoreFileError, DeltaExhausted or RunError.
    """
    promise = PromiseConfig().changed(changes)
    if choice.alphas is not None:
        ladder = certify_risks(path, promise, columns, parse_alphas(choice.alphas))
        yield from _framed(ladder, risk_lines(ladder.result, promise.delta))
    elif choice.each_answer or choice.slices is not None:
        joint = certify_each(path, promise, columns, choice.slices)
        certificate, overall = joint.result.certificate, joint.result.coverage_overall
        yield from _framed(joint, (*_certificate_lines(certificate), *part_lines(certificate, overall)))
    else:
        single = certify_scores(path, promise, columns)
        yield from _framed(single, _certificate_lines(single.result))


def _framed(
    proof: CertifiedScores[Certificate] | CertifiedScores[JointCertificate] | CertifiedScores[RiskLadder],
    lines: tuple[str, ...],
) -> Iterator[str]:
    for warning in proof.warnings:
        yield f"WARNING: {warning}"
    yield from lines
    yield f"ledger: {proof.ledger}"
    yield proof.known


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
