"""Terms: what is watched of a bundle, from its certificate and the operator's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from calibration.certificate import EACH_ANSWER, Certificate
from monitoring.promise.items import NO_PART

Standing = Literal["promised", "in expectation", "infeasible", "not certified here"]
"""What a bundle promises here"""
Missing = Literal["wrong", "hold"]
"""What an audit whose label never comes does: it counts as wrong, or the monitor holds before it."""
Signal = Literal["broken", "worse", "coverage"]
"""broken: the risk is above alpha. worse: above the bundle's own beginning. coverage: too few answers."""

DELTA: Final = 0.05
"""False alarms of each signal over 20,000 audits"""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Settings of the operator."""

    share: float
    """rho: audits per item on average; 0: none are drawn"""
    gap: float = 600.0
    """Length of the window of which each unit has one item, seconds; only then its item is final."""
    wait: float = 7 * 86_400.0
    """Seconds for which an audit waits for its label"""
    missing: Missing = "wrong"
    baseline_risk: float | None = None
    """Risk that `worse` is tested against until a bundle has a baseline of its own"""


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """What follows from a broken promise, and on whose labels."""

    acts: bool = False
    """Whether a bundle whose promise is broken answers nothing, or is exchanged"""
    trusted: bool = False
    """Whether labels may act: they need a token, or the operator trusts open ones"""
    open_labels: bool = True
    """Whether anybody may send labels"""


@dataclass(frozen=True, slots=True)
class PromiseTerms:
    """What a bundle promises on this machine."""

    bundle: str
    """`name:version`"""
    standing: Standing
    alpha: float | None = None
    """None without a certificate"""
    each: str | None = None
    """Column, or "answer", of a promise in each part by itself"""
    parts: tuple[str, ...] = (NO_PART,)
    """The parts that are watched apart"""
    coverage: float | None = None
    """Lower bound of the coverage"""
    why: str | None = None
    """Why nothing is promised"""
    least_weight: float = 1.0
    """Smallest audit weight q of the bundle; 1 for uniform audits"""

    @classmethod
    def of(
        cls,
        bundle: str,
        certificate: Certificate | None,
        why: str | None = None,
        *,
        least_weight: float = 1.0,
    ) -> PromiseTerms:
        """The terms of a certificate; `why`: the reason if there is none, or an infeasible one."""
        if certificate is None:
            return cls(bundle, "not certified here", why=why)
        if not certificate.feasible:
            return cls(bundle, "infeasible", certificate.alpha, why=why or certificate.needed)
        expectation = certificate.kind == "expectation" or certificate.delta is None
        parts = () if certificate.each is None else tuple(part.name for part in certificate.parts)
        bound = certificate.coverage_lower_bound
        return cls(
            bundle,
            "in expectation" if expectation else "promised",
            certificate.alpha,
            certificate.each,
            parts or (NO_PART,),
            bound if 0.0 < bound < 1.0 else None,
            least_weight=least_weight,
        )

    @property
    def answers(self) -> bool:
        """Whether the bundle answers anything that could be watched."""
        return self.standing in ("promised", "in expectation")

    def threshold(self, signal: Signal) -> float:
        """E-value at which a signal alarms; parts share delta."""
        return (1 if signal == "coverage" else len(self.parts)) / DELTA

    def part_of(self, answer: str, slice_value: str | None = None) -> str:
        """The watched part in which an answer lies: by the name of the answer itself, or by the value of the
        certificate's column that the request gave. NO_PART if there are no parts, or it lies in none."""
        if self.each is None:
            return NO_PART
        value = answer if self.each == EACH_ANSWER else slice_value
        return value if value in self.parts else NO_PART
