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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import Certificate, RiskTarget
from calibration.exact.fixed_sequence import certify
from calibration.groups import Unit
from calibration.inputs import read_thresholds


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
    walk: Callable[[RiskTarget, RiskTarget], Walked],
    alphas: Sequence[float],
    target: RiskTarget,
    shares: Sequence[float] | None = None,
) -> RiskLadder:
    """Certify each of `alphas`, in this order, at `target.delta` for all together.

    `walk` certifies one target along a path, both it and its steps planned for another of the same alpha,
    whose delta no calibration label has shaped. `shares`
    divide delta (positive, adding up to at most 1; default: equal); `target.alpha` is not used. An
    alpha that cannot be certified is infeasible and costs the others nothing more.
    """
    if len(alphas) == 0 or len(set(alphas)) != len(alphas):
        raise ValueError(f"alphas are {tuple(alphas)!r}; give at least one, each once")
    weights = np.full(len(alphas), 1.0 / len(alphas)) if shares is None else np.asarray(shares, dtype=float)
    if weights.shape != (len(alphas),) or not (weights > 0.0).all() or weights.sum() > 1.0 + 1e-12:
        raise ValueError(f"shares are {shares!r}; give one a risk, positive, adding up to at most 1")
    certificates: list[Certificate] = []
    handed_on = 0.0
    for alpha, weight in zip(alphas, weights, strict=True):
        # Rounding must not lift the last of many shares above the whole.
        delta = min(target.delta, handed_on + float(weight) * target.delta)
        planned = replace(target, alpha=alpha, delta=float(weight) * target.delta)
        walked = walk(replace(planned, delta=delta), planned)
        certificates.append(walked.certificate)
        handed_on = delta if walked.to_the_end else 0.0
    whole = [replace(target, alpha=alpha) for alpha in alphas]
    alone = tuple(walk(one, one).certificate.coverage for one in whole)
    return RiskLadder(tuple(certificates), alone)


def certify_several(
    confidence: ArrayLike,
    errors: ArrayLike,
    thresholds: ArrayLike,
    alphas: Sequence[float],
    target: RiskTarget,
    groups: ArrayLike | None = None,
    *,
    shares: Sequence[float] | None = None,
    unit: Unit = "group",
    seed: int = 0,
    max_group_size: int | None = None,
    split_digest: str | None = None,
    engine: str | None = None,
) -> RiskLadder:
    """`climb` with one classifier: confidence, errors [n], thresholds [T] and groups as in `certify`.

    ValueError for malformed input only.
    """
    grid = read_thresholds(thresholds)

    def walk(at: RiskTarget, planned: RiskTarget) -> Walked:
        certificate = certify(
            confidence,
            errors,
            grid,
            at,
            groups,
            planned=planned,
            unit=unit,
            seed=seed,
            max_group_size=max_group_size,
            split_digest=split_digest,
            engine=engine,
        )
        return Walked(certificate, certificate.threshold == grid[-1])

    return climb(walk, alphas, target, shares)
