"""Certificates of finished tests: the fields that all exact methods fill in alike."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.bounds import clopper_pearson_upper, dkw_margin, randomised_clopper_pearson_upper
from calibration.certificate import Certificate, CertifiedOn, PromisedPart, RiskTarget
from calibration.groups import Units


@dataclass(frozen=True, slots=True)
class Proven:
    """A threshold that passed its test, and the counts on the calibration units at it."""

    threshold: float | tuple[float, ...]
    answered: int
    errors: int
    risk_upper_bound: float


@dataclass(frozen=True, slots=True)
class Issuer:
    """Fields of a certificate that are known before the outcome of the test."""

    method: str
    target: RiskTarget
    units: Units
    certified_on: CertifiedOn
    each: str | None = None
    """The kind of parts in which the promise holds, see `Certificate.each`"""

    def feasible(
        self,
        proven: Proven,
        *,
        coverage: float | None = None,
        coverage_lower_bound: float | None = None,
        parts: tuple[PromisedPart, ...] = (),
    ) -> Certificate:
        """The certificate of a proven threshold.

        The coverage is the share of the units answered, its lower bound `coverage_bound`, unless given.
        """
        n = len(self.units.rows)
        coverage = proven.answered / n if coverage is None else coverage
        if coverage_lower_bound is None:
            coverage_lower_bound = coverage_bound(proven.answered, n, self.target.delta)
        return Certificate(
            feasible=True,
            meets_coverage=coverage >= self.target.min_coverage,
            method=self.method,
            kind="pac",
            population=self.units.population,
            alpha=self.target.alpha,
            delta=self.target.delta,
            n=n,
            answered=proven.answered,
            errors=proven.errors,
            threshold=proven.threshold,
            risk_upper_bound=proven.risk_upper_bound,
            coverage=coverage,
            coverage_lower_bound=coverage_lower_bound,
            split_digest=self.certified_on.split_digest,
            engine=self.certified_on.engine,
            seed=self.units.seed,
            images=self._images(),
            each=self.each,
            parts=parts if self.each is not None else (),
        )

    def infeasible(self, needed: str, parts: tuple[PromisedPart, ...] = ()) -> Certificate:
        """The certificate of a policy that abstains on every image; `needed` says why."""
        return Certificate(
            feasible=False,
            meets_coverage=False,
            method=self.method,
            kind="pac",
            population=self.units.population,
            alpha=self.target.alpha,
            delta=self.target.delta,
            n=len(self.units.rows),
            answered=0,
            errors=0,
            threshold=None,
            risk_upper_bound=None,
            coverage=0.0,
            coverage_lower_bound=0.0,
            split_digest=self.certified_on.split_digest,
            engine=self.certified_on.engine,
            needed=needed,
            seed=self.units.seed,
            images=self._images(),
            each=self.each if parts else None,
            parts=parts if self.each is not None else (),
        )

    def _images(self) -> int | None:
        return self.units.images if self.units.images != len(self.units.rows) else None


def proven_risk(
    answered: int, errors: int, target: RiskTarget, all_passed: bool, uniform: float | None = None
) -> float:
    """The risk bound that a fixed sequence has proven with confidence 1 - delta.

    alpha if the sequence ended by a failure. If every step passed, the same fixed sequence continues at the
    last step with smaller and smaller alpha, down to its Clopper-Pearson bound.
    """
    if not all_passed:
        return target.alpha
    if uniform is None:
        bound = clopper_pearson_upper(errors, answered, target.delta)
    else:
        bound = randomised_clopper_pearson_upper(errors, answered, target.delta, uniform)
    return min(float(bound), target.alpha)


def coverage_bound(answered: int, n: int, delta: float) -> float:
    """Lower bound of the coverage at a threshold that was chosen on the same n units (DKW)."""
    return max(0.0, answered / n - dkw_margin(n, min(delta, 0.5))) if n else 0.0
