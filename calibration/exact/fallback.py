"""Several risks promised at once: "at 1 %: 72 %, at 2 %: 85 %, at .5 %: 51 % are answered".

The risks are taken in one order, fixed beforehand, each with its share of delta; a risk whose walk
passes every threshold hands its delta on to the next (fallback procedure, Wiens and Dmitrienko 2005).
All certified statements hold together with confidence 1 - delta. That takes each risk's steps to be fixed
beforehand, so they are planned for its own share: how much is handed on is known from labels only.

One single sequence of (alpha, threshold) pairs that ends at its first failure would need no shares,
but it ends for all risks where it ends for one: at n = 3000 and accuracy .95 it reached coverages of
.59 / .86 / .33 for 1 / 2 / .5 %, equal shares .74 / .86 / .49.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.exact.fixed_sequence import RANK_START
from calibration.exact.path_test import certify_path
from calibration.exact.paths import StagePath
from calibration.groups import UNGROUPED, Sampling
from calibration.inputs import read_thresholds


@dataclass(frozen=True, slots=True)
class RiskSequence:
    """Risks in the order in which they are certified, each with its share of delta."""

    alphas: tuple[float, ...]
    shares: tuple[float, ...] | None = None
    """Positive, adding up to at most 1; None: equal"""

    def __post_init__(self) -> None:
        if len(self.alphas) == 0 or len(set(self.alphas)) != len(self.alphas):
            raise ValueError(f"alphas are {self.alphas!r}; give at least one, each once")
        shares = self.shares
        if shares is not None and (
            len(shares) != len(self.alphas) or not min(shares) > 0.0 or sum(shares) > 1.0 + 1e-12
        ):
            raise ValueError(f"shares are {shares!r}; give one a risk, positive, adding up to at most 1")

    def deltas(self, delta: float) -> list[float]:
        """The share of `delta` that each risk has of its own."""
        weights = [1.0 / len(self.alphas)] * len(self.alphas) if self.shares is None else self.shares
        return [float(weight) * delta for weight in weights]


@dataclass(frozen=True, slots=True)
class RiskLadder:
    """One certificate a risk, in the order given, and what the company costs each."""

    certificates: tuple[Certificate, ...]
    """`delta` is the share that was used; all hold together at the target's delta."""
    coverage_alone: tuple[float, ...]
    """Coverage that each risk would have reached at the full delta: for comparison, not certified."""

    @property
    def prices(self) -> tuple[float, ...]:
        """Coverage that each risk gives up for the others."""
        return tuple(
            alone - certificate.coverage
            for alone, certificate in zip(self.coverage_alone, self.certificates, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Walked:
    """What one walk proved."""

    certificate: Certificate
    to_the_end: bool
    """Its last step was certified: a walk that has nothing left to prove."""


def climb(
    walk: Callable[[RiskTarget, RiskTarget], Walked], risks: RiskSequence, target: RiskTarget
) -> RiskLadder:
    """Certify each risk, in order, at `target.delta` for all together; `target.alpha` is not used.

    `walk` certifies one target along a path, both it and its steps planned for another of the same alpha,
    whose delta no calibration label has shaped. An alpha that cannot be certified is infeasible and costs
    the others nothing more.
    """
    certificates: list[Certificate] = []
    handed_on = 0.0
    for alpha, own in zip(risks.alphas, risks.deltas(target.delta), strict=True):
        # Rounding must not lift the last of many shares above the whole.
        delta = min(target.delta, handed_on + own)
        planned = replace(target, alpha=alpha, delta=own)
        walked = walk(replace(planned, delta=delta), planned)
        certificates.append(walked.certificate)
        handed_on = delta if walked.to_the_end else 0.0
    whole = [replace(target, alpha=alpha) for alpha in risks.alphas]
    alone = tuple(walk(one, one).certificate.coverage for one in whole)
    return RiskLadder(tuple(certificates), alone)


def certify_several(
    confidence: ArrayLike,
    errors: ArrayLike,
    thresholds: ArrayLike,
    risks: RiskSequence,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    certified_on: CertifiedOn = UNRECORDED,
) -> RiskLadder:
    """`climb` with one classifier: confidence, errors [n], thresholds [T] and sampling as in `certify`.

    ValueError for malformed input only.
    """
    grid = read_thresholds(thresholds)
    path = StagePath.read(confidence, errors, grid)

    def walk(at: RiskTarget, planned: RiskTarget) -> Walked:
        certificate = certify_path(
            path, at, sampling=sampling, test=RANK_START, planned=planned, certified_on=certified_on
        )
        return Walked(certificate, certificate.threshold == grid[-1])

    return climb(walk, risks, target)
