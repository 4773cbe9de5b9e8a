"""`demur calibrate`: which promise is wanted, and what was proven on a table of scores, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.certificate import Certificate
from calibration.exact.fallback import RiskLadder
from calibration.exact.intersection_union import JointCertificate
from trainer.certify.from_scores import FileProof, certify_each, certify_risks, certify_scores
from trainer.certify.wording import part_lines, risk_lines, thresholds_in_words
from trainer.errors import RunError
from trainer.run.promise import PromiseConfig
from trainer.scoring.score_file import ScoreFileColumns


@dataclass(frozen=True, slots=True)
class Wanted:
    """The promise over all answers, unless one of these is given."""

    each_answer: bool = False
    slices: str | None = None
    alphas: str | None = None
    """Several risks in their order, separated by commas"""

    def __post_init__(self) -> None:
        if sum((self.each_answer, self.slices is not None, self.alphas is not None)) > 1:
            raise RunError("--each-answer, --slices and --alphas are different promises; choose one")

    def changes(self) -> Mapping[str, Any]:
        """Fields of `PromiseConfig`, so that a run promises this and nothing else of its kind; none where
        nothing is wanted: the run then promises what it did."""
        if not (self.each_answer or self.slices or self.alphas):
            return {}
        alphas = () if self.alphas is None else tuple(read_alphas(self.alphas))
        chosen = {"each_answer": self.each_answer, "slices": self.slices or "", "alphas": alphas}
        return chosen | ({"alpha": alphas[0]} if alphas else {})


OVER_ALL_ANSWERS: Mapping[str, Any] = {"each_answer": False, "slices": "", "alphas": ()}
"""Fields of `PromiseConfig` of the promise over all answers together."""


def tell_promise(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, wanted: Wanted
) -> Iterator[str]:
    """Prove what is wanted and tell it, a line each; warnings come first."""
    if wanted.alphas is not None:
        ladder = certify_risks(path, promise, columns, read_alphas(wanted.alphas))
        yield from _framed(ladder, risk_lines(ladder.proven, promise.delta))
    elif wanted.each_answer or wanted.slices is not None:
        joint = certify_each(path, promise, columns, wanted.slices)
        certificate, overall = joint.proven.certificate, joint.proven.coverage_overall
        yield from _framed(joint, (*_single_lines(certificate), *part_lines(certificate, overall)))
    else:
        single = certify_scores(path, promise, columns)
        yield from _framed(single, _single_lines(single.proven))


def _framed(
    proof: FileProof[Certificate] | FileProof[JointCertificate] | FileProof[RiskLadder],
    lines: tuple[str, ...],
) -> Iterator[str]:
    for warning in proof.warnings:
        yield f"WARNING: {warning}"
    yield from lines
    yield f"ledger: {proof.ledger}"


def _single_lines(certificate: Certificate) -> tuple[str, ...]:
    if not certificate.feasible:
        return (certificate.sentence(),)
    at = f"Answer where the confidence is at least {thresholds_in_words(certificate)}."
    return certificate.sentence(), at


def read_alphas(text: str) -> list[float]:
    """Risks separated by commas; `RunError` names what is no risk."""
    try:
        alphas = [float(part) for part in text.split(",")]
    except ValueError:
        raise RunError(f"--alphas is {text!r}; give numbers separated by commas, like 0.01,0.02") from None
    if faulty := [alpha for alpha in alphas if not 0.0 < alpha < 1.0]:
        raise RunError(f"--alphas holds {faulty[0]:g}; each must lie strictly between 0 and 1")
    if len(set(alphas)) < len(alphas):
        raise RunError(f"--alphas is {text!r}; name each risk once")
    return alphas
