"""`demur calibrate --scores`: which promise is wanted, and what was proven, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from calibration.certificate import Certificate
from calibration.joint import JointCertificate
from calibration.several_risks import RiskLadder
from trainer.promise import PromiseConfig
from trainer.run_folder import RunError
from trainer.score_file import ScoreFileColumns
from trainer.score_proof import FileProof, certify_each, certify_risks, certify_scores


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


def tell_promise(
    path: Path, promise: PromiseConfig, columns: ScoreFileColumns, wanted: Wanted
) -> Iterator[str]:
    """Prove what is wanted and tell it, a line each; warnings come first."""
    if wanted.alphas is not None:
        ladder = certify_risks(path, promise, columns, _read_alphas(wanted.alphas))
        yield from _framed(ladder, _risk_lines(ladder.proven, promise.delta))
    elif wanted.each_answer or wanted.slices is not None:
        joint = certify_each(path, promise, columns, wanted.slices)
        yield from _framed(joint, _joint_lines(joint.proven, wanted.slices))
    else:
        single = certify_scores(path, promise, columns)
        yield from _framed(single, _single_lines(single.proven))


def _framed(
    proof: FileProof[Certificate] | FileProof[JointCertificate] | FileProof[RiskLadder], lines: Iterator[str]
) -> Iterator[str]:
    for warning in proof.warnings:
        yield f"WARNING: {warning}"
    yield from lines
    yield f"ledger: {proof.ledger}"


def _single_lines(certificate: Certificate) -> Iterator[str]:
    yield certificate.sentence()
    if certificate.feasible:
        yield f"Answer where the confidence is at least {certificate.threshold:.6g}."


def _joint_lines(joint: JointCertificate, column: str | None) -> Iterator[str]:
    yield from _single_lines(joint.certificate)
    if not joint.certificate.feasible:
        return
    yield "The same holds for each " + ("answer" if column is None else f"value of {column}") + " by itself:"
    for part in joint.certificate.parts:
        yield (
            f"  {part.name}: {part.errors} wrong among {part.answered} answered of {part.n} "
            f"({100 * part.coverage:.1f} %)"
        )
    yield (
        f"Price: {100 * joint.price:.1f} points of coverage; over all answers alone "
        f"{100 * joint.coverage_overall:.1f} % would be answered."
    )


def _risk_lines(ladder: RiskLadder, delta: float) -> Iterator[str]:
    yield f"All together with {100 * (1 - delta):g} % confidence:"
    for certificate, price in zip(ladder.certificates, ladder.prices, strict=True):
        head = f"  at {100 * certificate.alpha:g} %: "
        if certificate.feasible:
            yield (
                f"{head}{100 * certificate.coverage:.1f} % answered, from a confidence of "
                f"{certificate.threshold:.6g} (alone {100 * price:.1f} points more)"
            )
        else:
            yield f"{head}no promise: {certificate.needed}"


def _read_alphas(text: str) -> list[float]:
    try:
        alphas = [float(part) for part in text.split(",")]
    except ValueError:
        raise RunError(f"--alphas is {text!r}; give numbers separated by commas, like 0.01,0.02") from None
    if faulty := [alpha for alpha in alphas if not 0.0 < alpha < 1.0]:
        raise RunError(f"--alphas holds {faulty[0]:g}; each must lie strictly between 0 and 1")
    return alphas
