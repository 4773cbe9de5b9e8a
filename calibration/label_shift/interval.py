"""Interval of the prevalence from unlabelled images: black-box shift estimation with exact intervals.

If each class looks as it did, the rate at which images are called class 1 is q = p c1 + (1 - p) c0, with c1
and c0 the rates at which the two classes are called class 1 (Lipton, Wang and Smola, arXiv 1802.03916,
section 3). Exact intervals (Clopper and Pearson) of the three rates, each at a third of delta, give all
shares p that some rates within them explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.bounds import clopper_pearson_lower, clopper_pearson_upper
from calibration.errors import CalibrationError
from calibration.scores import BoolArray, IntArray


class PrevalenceUnknown(CalibrationError, ValueError):
    """The images cannot tell the prevalence; the message says why."""


@dataclass(frozen=True, slots=True)
class CalledRate:
    """Images that the classifier calls class 1, of independent images of one kind."""

    called: int
    n: int

    @classmethod
    def of(cls, called: BoolArray) -> Self:
        """From the calls [n]."""
        return cls(int(called.sum()), len(called))

    def bounds(self, delta: float) -> tuple[float, float]:
        """Exact two-sided interval of the rate at confidence 1 - delta."""
        low = float(clopper_pearson_lower(self.called, self.n, delta / 2.0))
        return low, float(clopper_pearson_upper(self.called, self.n, delta / 2.0))

    def __str__(self) -> str:
        return f"{self.called} of {self.n}"


@dataclass(frozen=True, slots=True)
class CalledRates:
    """The three rates behind an interval of the prevalence."""

    class_0: CalledRate
    class_1: CalledRate
    unlabelled: CalledRate

    @classmethod
    def of(cls, called: BoolArray, classes: IntArray, unlabelled: BoolArray) -> Self:
        """From the calls and classes [n] of the calibration units, and the calls [m] of unlabelled units."""
        of_class = [CalledRate.of(called[classes == label]) for label in (0, 1)]
        return cls(of_class[0], of_class[1], CalledRate.of(unlabelled))


def prevalence_interval(rates: CalledRates, delta: float) -> tuple[float, float]:
    """All shares of class 1 that the rates allow, with confidence 1 - delta, if each class looks as it did.

    Share p is allowed if p l1 + (1 - p) l0 <= upper and p u1 + (1 - p) u0 >= lower, the ends of the interval
    of the unlabelled rate: two linear conditions. Raises PrevalenceUnknown if the classifier does not tell
    the classes apart, or if no share explains the rate.
    """
    for label, rate in enumerate((rates.class_0, rates.class_1)):
        if rate.n == 0:
            raise PrevalenceUnknown(f"class {label} has no calibration units, so its rate is not known")
    (l0, u0), (l1, u1), (lower, upper) = (
        rate.bounds(delta / 3.0) for rate in (rates.class_0, rates.class_1, rates.unlabelled)
    )
    if l1 <= u0 and l0 <= u1:
        raise PrevalenceUnknown(
            f"the classifier calls {rates.class_1} units of class 1 by that name, and {rates.class_0} of "
            "class 0: it is no better than chance, so what it says of unlabelled images tells nothing of "
            "their prevalence"
        )
    low, high = _solve((l0, l1), upper, above=False)
    other = _solve((u0, u1), lower, above=True)
    low, high = max(low, other[0]), min(high, other[1])
    if low > high:
        raise PrevalenceUnknown(
            f"the classifier calls {rates.unlabelled} unlabelled images class 1, which no prevalence "
            f"explains: of class 1 it calls {rates.class_1} so, of class 0 {rates.class_0}. The images "
            "themselves have changed, not only how often each class occurs"
        )
    return low, high


def _solve(ends: tuple[float, float], limit: float, *, above: bool) -> tuple[float, float]:
    """The p in [0, 1] with ends[0] + p (ends[1] - ends[0]) on one side of the limit; (1, 0) if none."""
    slope = ends[1] - ends[0]
    if slope == 0.0:
        return (0.0, 1.0) if (ends[0] >= limit if above else ends[0] <= limit) else (1.0, 0.0)
    at = (limit - ends[0]) / slope
    if (slope > 0.0) == above:
        return max(at, 0.0), 1.0
    return 0.0, min(at, 1.0)


def saerens_prevalence(posterior: ArrayLike, prior: float) -> float:
    """The share of class 1 by expectation maximisation (Saerens, Latinne, Decaestecker 2002, equation 9).

    posterior [m]: P(class 1 | image) of the unlabelled images in a world where class 1 has share `prior`. A
    point, and no bound: it trusts the probabilities.
    """
    values = np.clip(np.asarray(posterior, dtype=np.float64), 1e-12, 1.0 - 1e-12)
    if not 0.0 < prior < 1.0:
        raise ValueError(f"prior is {prior!r}; it must lie strictly between 0 and 1")
    if len(values) == 0:
        raise ValueError("posterior is empty; a prevalence needs at least one image")
    share = prior
    for _ in range(_MOST_ROUNDS):
        up, down = share / prior * values, (1.0 - share) / (1.0 - prior) * (1.0 - values)
        after = float((up / (up + down)).mean())
        if abs(after - share) < _CONVERGED:
            return after
        share = after
    return share


_MOST_ROUNDS = 10_000
_CONVERGED = 1e-10
