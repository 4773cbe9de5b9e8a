"""Several risks promised at once: "at 1 %: 72 %, at 2 %: 85 %, at .5 %: 51 % are answered".

The risks have a fixed order and a share of delta each; a risk that passes every threshold hands its delta on
to the next (fallback procedure, Wiens and Dmitrienko 2005). All certified statements hold together with
confidence 1 - delta. This requires that the steps of each risk are fixed beforehand, so they are planned for
its own share: the delta that is handed on depends on labels.

A single sequence of (alpha, threshold) pairs that ends at its first failure needs no shares, but a failure of
one risk ends it for all: at n = 3000 and accuracy .95 it reached coverages of
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
            raise ValueError(f"shares are {shares!r}; give one per risk, positive, adding up to at most 1")

    def deltas(self, delta: float) -> list[float]:
        """Share of `delta` of each risk."""
        weights = [1.0 / len(self.alphas)] * len(self.alphas) if self.shares is None else self.shares
        return [float(weight) * delta for weight in weights]


@dataclass(frozen=True, slots=True)
class RiskLadder:
    """One certificate per risk, in the given order, and the cost of the shared delta in coverage."""

    certificates: tuple[Certificate, ...]
    """Each states the delta that it used; all hold together at the target's delta"""
    coverage_alone: tuple[float, ...]
    """Coverage of each risk at the full delta: for comparison, not certified"""

    @property
    def prices(self) -> tuple[float, ...]:
        """Loss of coverage of each risk by the shared delta."""
        return tuple(
            alone - certificate.coverage
            for alone, certificate in zip(self.coverage_alone, self.certificates, strict=True)
        )


@dataclass(frozen=True, slots=True)
class RiskProof:
    """Result of the test of one risk."""

    certificate: Certificate
    exhausted: bool
    """The last step of the path is certified, so that no delta is needed further"""


def fallback_procedure(
    prove: Callable[[RiskTarget, RiskTarget], RiskProof], risks: RiskSequence, target: RiskTarget
) -> RiskLadder:
    """Certify each risk, in order, at `target.delta` for all together; `target.alpha` is not used.

    `prove` certifies its first argument along a path; the path and its steps are planned for its second, of
    the same alpha, whose delta depends on no calibration label. An alpha that cannot be certified is
    infeasible and costs the others nothing more.
    """
    certificates: list[Certificate] = []
    handed_on = 0.0
    for alpha, own in zip(risks.alphas, risks.deltas(target.delta), strict=True):
        # Rounding must not lift the last of many shares above the whole.
        delta = min(target.delta, handed_on + own)
        planned = replace(target, alpha=alpha, delta=own)
        proof = prove(replace(planned, delta=delta), planned)
        last = len(certificates) == len(risks.alphas) - 1
        handed_on = delta if proof.exhausted else 0.0
        certificate = proof.certificate
        if proof.exhausted and not last:
            # Delta that is handed on cannot also pay for a sharper bound of this risk.
            certificate = replace(certificate, risk_upper_bound=alpha)
        certificates.append(certificate)
    whole = [replace(target, alpha=alpha) for alpha in risks.alphas]
    alone = tuple(prove(one, one).certificate.coverage for one in whole)
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
    """`fallback_procedure` with one classifier; confidence, errors [n], thresholds [T] as in `certify`.

    ValueError for malformed input only.
    """
    grid = read_thresholds(thresholds)
    path = StagePath.read(confidence, errors, grid)

    def prove(at: RiskTarget, planned: RiskTarget) -> RiskProof:
        certificate = certify_path(
            path, at, sampling=sampling, test=RANK_START, planned=planned, certified_on=certified_on
        )
        return RiskProof(certificate, certificate.threshold == grid[-1])

    return fallback_procedure(prove, risks, target)
