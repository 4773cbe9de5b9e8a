"""Baseline of a bundle: an upper bound of the risk at its beginning, against which later answers are tested.

An alarm against it means that the bundle has become worse, not that its promise is broken. The serving
process has no SciPy, so the beta quantile is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from calibration.sequential.e_detector import EDetector

AUDITS: Final = 5_000
"""Audits of a baseline: those of a certificate are too few, and a bundle certified by luck would warn though
nothing had changed"""
CONFIDENCE: Final = 0.9
"""Confidence of the bound"""
HEAD_START: Final = 0.5
"""w: weight of the test that begins with the baseline"""
LAMBDAS: Final = (1.2, 2.0, 3.5)
"""Bets at a baseline of alpha, close together because the risks to be found lie within a factor of three; a
lower baseline b has alpha / b times these, so that they are the best ones against the same risks"""
_LARGEST_BET: Final = 64.0
"""Factor at most: bets without a bound would make every first error an alarm"""
_HALVINGS: Final = 60
_TERMS: Final = 500


@dataclass(frozen=True, slots=True)
class AuditSums:
    """Audits of a time, each with the weight w = rho / pi, summed up."""

    audits: int = 0
    errors: int = 0
    weight: float = 0.0
    """Sum of w"""
    square: float = 0.0
    """Sum of w^2"""
    wrong_weight: float = 0.0
    """Sum of w over the errors"""
    wrong_square: float = 0.0

    @classmethod
    def of(cls, weights: Sequence[float], wrong: Sequence[float]) -> Self:
        """The sums over the weights of all audits, and over those of the errors among them."""
        return cls(
            len(weights),
            len(wrong),
            sum(weights),
            sum(one**2 for one in weights),
            sum(wrong),
            sum(one**2 for one in wrong),
        )

    def plus(self, wrong: bool, weight: float) -> AuditSums:
        """The sums with one more audit."""
        more = replace(
            self, audits=self.audits + 1, weight=self.weight + weight, square=self.square + weight**2
        )
        if not wrong:
            return more
        return replace(
            more,
            errors=self.errors + 1,
            wrong_weight=self.wrong_weight + weight,
            wrong_square=self.wrong_square + weight**2,
        )

    def __add__(self, other: AuditSums) -> AuditSums:
        return AuditSums(
            self.audits + other.audits,
            self.errors + other.errors,
            self.weight + other.weight,
            self.square + other.square,
            self.wrong_weight + other.wrong_weight,
            self.wrong_square + other.wrong_square,
        )

    def upper_bound(self, confidence: float = CONFIDENCE) -> float:
        """Upper confidence bound of the risk; 1 without audits.

        The bound of Clopper and Pearson at the effective number of audits n* and of errors n* p, by Korn and
        Graubard ("Confidence intervals for proportions with small expected number of positive counts
        estimated from survey data", 1998). n* = p (1 - p) / Var p, at most the number of audits; without an
        error, that of Kish, (sum w)^2 / sum w^2. With equal weights this is the bound of the plain counts.
        """
        if not self.audits:
            return 1.0
        if self.errors == self.audits:
            return 1.0
        if not self.errors:
            effective, risk = self.weight**2 / self.square, 0.0
        else:
            risk = self.wrong_weight / self.weight
            right_square = self.square - self.wrong_square
            spread = self.wrong_square * (1.0 - risk) ** 2 + right_square * risk**2
            effective = risk * (1.0 - risk) * self.weight**2 / spread
        effective = min(effective, float(self.audits))
        return beta_quantile(confidence, effective * risk + 1.0, effective * (1.0 - risk))


def worse_detector(baseline: float, alpha: float, *, share: float = 1.0) -> EDetector:
    """The detector of a risk above `baseline`, at most `alpha`; both in (0, 1). Raises ValueError."""
    if not 0.0 < baseline <= alpha:
        raise ValueError(f"baseline is {baseline!r}; it must lie in (0, alpha], and alpha is {alpha!r}")
    scale = min(alpha / baseline, _LARGEST_BET)
    return EDetector(baseline, share=share, weight=HEAD_START, lambdas=tuple(scale * one for one in LAMBDAS))


def beta_quantile(level: float, a: float, b: float) -> float:
    """x in [0, 1] with I_x(a, b) = level, for a, b > 0; the same as `scipy.stats.beta.ppf`."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if _regularised_beta(middle, a, b) < level:
            low = middle
        else:
            high = middle
    return high


def _regularised_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) by its continued fraction (Abramowitz and Stegun, 26.5.8)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):  # where the fraction converges slowly
        return 1.0 - _regularised_beta(1.0 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for m in range(_TERMS):
        for numerator in (
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
            (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2)),
        ):
            d = 1.0 / (1.0 + numerator * d or tiny)
            c = 1.0 + numerator / c or tiny
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return math.exp(log_front) / (a * value)
