"""The certified policy in a bundle: a certificate and the operating point that it was proven for.

Both are computed on one engine at one precision and hold only there, so a bundle has an entry for each
engine and precision that it was certified on.

An entry is accepted only if its parts fit each other: the thresholds of certificate and operating point
are equal, and the counts of the certificate can prove its promise. Digests show damage, but they
can be computed again; these checks find a promise that was edited together with its digests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from calibration.certificate import Certificate
from calibration.decision import OperatingPoint

_MAX_UNITS: Final = 10**9
_EXACT: Final = "exact"
"""Beginning of the names of the methods whose bound follows from the counts alone."""
_EXCEPTIONS: Final = ("randomised", "look-ahead")
"""Words in the names of methods that use more than the counts: a random number, or later errors."""
_ROUNDING: Final = 1e-6
"""Relative tolerance for figures that were rounded."""


def _thresholds_from_json(value: Any) -> Any:
    """A stage that answers no image has an infinite threshold, which JSON can only express as null."""
    if isinstance(value, Mapping) and isinstance(value.get("threshold"), list):
        thresholds = tuple(math.inf if t is None else t for t in value["threshold"])
        return {**value, "threshold": thresholds}
    return value


CertificateField = Annotated[
    Certificate, BeforeValidator(_thresholds_from_json), PlainSerializer(Certificate.to_dict)
]
OperatingPointField = Annotated[OperatingPoint, PlainSerializer(asdict)]
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""Names of bundles, and parts of the keys of certificates"""
KeyPart = Annotated[str, Field(pattern=NAME_PATTERN)]


class CertificateEntry(BaseModel):
    """A certificate for one engine at one precision, and the rule that it was proven for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: KeyPart
    precision: KeyPart
    certificate: CertificateField
    operating_point: OperatingPointField

    @property
    def key(self) -> str:
        """`engine/precision`, as `Certificate.engine` and `StageModel.name` write it."""
        return f"{self.engine}/{self.precision}"

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        certificate = self.certificate
        if certificate.engine not in (None, self.key):
            raise ValueError(f"the certificate names engine {certificate.engine}, its entry {self.key}")
        self._check_thresholds()
        _check_counts(certificate)
        if certificate.feasible and certificate.kind == "pac":
            _check_proof(certificate)
        elif certificate.feasible and certificate.alpha * (certificate.n + 1) < 1.0 - _ROUNDING:
            raise ValueError(
                f"{certificate.n} calibration units cannot promise an average of {certificate.alpha:g}"
            )
        return self

    def _check_thresholds(self) -> None:
        certificate, stages = self.certificate, self.operating_point.stages
        if isinstance(certificate.threshold, tuple):
            proven: tuple[float | None, ...] = certificate.threshold
        else:
            proven = (certificate.threshold,) if certificate.feasible else (None,) * len(stages)
        stated = tuple(None if t is None or math.isinf(t) else t for t in proven)
        applied = tuple(rule.threshold for rule in stages)
        if stated != applied:
            raise ValueError(
                f"the certificate was proven at thresholds {stated}, the operating point has {applied}; "
                "a certificate states one threshold per stage"
            )
        for rule in stages:
            for cut in (rule.set_threshold, rule.set_threshold_at_boundary):
                if cut is not None and not math.isfinite(cut):
                    raise ValueError(f"set_threshold is {cut}; 0 puts every label into the set, 2 none")


def _check_counts(certificate: Certificate) -> None:
    """Raise ValueError for numbers that no calibration split has."""
    images = max(certificate.n, certificate.images or 0)
    counts = [(certificate.answered, certificate.errors, images)]
    counts += [(part.answered, part.errors, images) for part in certificate.parts]
    for answered, errors, most in counts:
        if not 0 <= errors <= answered <= most <= _MAX_UNITS:
            raise ValueError(
                f"the certificate counts {errors} wrong among {answered} answered of {most} images"
            )
    if not 0.0 < certificate.alpha < 1.0 or not (certificate.delta is None or 0.0 < certificate.delta < 1.0):
        raise ValueError(
            f"alpha is {certificate.alpha} and delta {certificate.delta}; both must be in (0, 1)"
        )
    low, coverage = certificate.coverage_lower_bound, certificate.coverage
    if certificate.feasible and not -_ROUNDING <= low <= coverage + _ROUNDING <= 1.0 + 2.0 * _ROUNDING:
        raise ValueError(f"the certificate states a coverage of {coverage} and a lower bound of {low}")


def _check_proof(certificate: Certificate) -> None:
    """Raise ValueError if the counts cannot prove the promise of a feasible certificate.

    For the exact methods: P(Bin(answered, risk_upper_bound) <= errors) <= delta in every part, which is the
    Clopper-Pearson bound (1934). For every other method the least condition: even without an error, n units
    must prove alpha, (1 - alpha)^n <= delta.
    """
    alpha, delta, bound = certificate.alpha, certificate.delta, certificate.risk_upper_bound
    if delta is None or bound is None:
        raise ValueError("the certificate promises a confidence, but states no delta or no bound of the risk")
    if not 0.0 <= bound <= alpha * (1.0 + _ROUNDING):
        raise ValueError(f"the certificate promises alpha {alpha:g}, but its bound of the risk is {bound:g}")
    recomputed = certificate.method.startswith(_EXACT) and not any(
        word in certificate.method for word in _EXCEPTIONS
    )
    if not recomputed:
        if "randomised" not in certificate.method and _binomial_tail(0, certificate.n, alpha) > _most(delta):
            raise ValueError(
                f"{certificate.n} calibration units cannot prove alpha {alpha:g} at delta {delta:g}, even "
                "without an error"
            )
        return
    if abs(certificate.coverage * certificate.n - certificate.answered) > 1.0 - _ROUNDING:
        raise ValueError(
            f"the certificate states a coverage of {certificate.coverage:g}, but {certificate.answered} of "
            f"{certificate.n} units are answered"
        )
    tested = [(part.answered, part.errors) for part in certificate.parts]
    for answered, errors in tested or [(certificate.answered, certificate.errors)]:
        if errors > bound * answered or _binomial_tail(errors, answered, bound) > _most(delta):
            raise ValueError(
                f"{errors} wrong among {answered} answered do not prove a risk of at most {bound:g} at "
                f"delta {delta:g}, as the certificate says"
            )


def _most(delta: float) -> float:
    return delta * (1.0 + _ROUNDING)


def _binomial_tail(errors: int, n: int, rate: float) -> float:
    """P(Bin(n, rate) <= errors), for errors up to the mean.

    The same as `scipy.stats.binom.cdf`, which is not used because a service that loads a bundle does not
    load SciPy: 50 MB and half a second. Terms are added from the largest, at `errors`, downwards.
    """
    if rate <= 0.0 or n == 0:
        return 1.0
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(errors + 1)
        - math.lgamma(n - errors + 1)
        + errors * math.log(rate)
        + (n - errors) * math.log1p(-rate)
    )
    term = total = math.exp(log_term)
    for count in range(errors, 0, -1):
        term *= count * (1.0 - rate) / ((n - count + 1) * rate)
        total += term
        if term < 1e-12 * total:
            break
    return total
