"""Intervals of a difference: one that is read once, and one that may be read at every step."""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Final

from calibration.experiments.stratified import Estimate
from calibration.metrics.classification import wilson_interval

_HALVINGS: Final = 50
_LEAST_P: Final = 1e-12
_LARGEST_EXPONENT: Final = 700.0


def newcombe_interval(found: Estimate, level: float) -> tuple[float, float]:
    """Two-sided interval of the difference of two shares with confidence `level`, for one look.

    The Wilson intervals of both shares at their effective numbers of requests, put together (Newcombe,
    "Interval estimation for the difference between independent proportions", 1998, method 10; with clusters,
    Zou and Donner, Statistics in Medicine 23, 2004).
    """
    (control, challenger), sizes = found.values, found.effective
    low_0, high_0 = wilson_interval(control * sizes[0], sizes[0], level)
    low_1, high_1 = wilson_interval(challenger * sizes[1], sizes[1], level)
    below = sqrt((challenger - low_1) ** 2 + (high_0 - control) ** 2)
    above = sqrt((high_1 - challenger) ** 2 + (control - low_0) ** 2)
    return max(-1.0, found.difference - below), min(1.0, found.difference + above)


def newcombe_p_value(found: Estimate) -> float:
    """The least error level at which `newcombe_interval` leaves out zero."""
    low, high = _LEAST_P, 1.0 - _LEAST_P
    for _ in range(_HALVINGS):
        middle = sqrt(low * high)
        ends = newcombe_interval(found, 1.0 - middle)
        if ends[0] <= 0.0 <= ends[1]:
            low = middle
        else:
            high = middle
    return high


SPREAD: Final = 0.15
"""Standard deviation of the differences that the anytime-valid test is tuned to, in those of one request: .05
at an accuracy of .88, .015 at a risk of 1 %"""


def spread_of(request_variance: float) -> float:
    """The spread of the mixture for a metric, from `Estimate.request_variance`."""
    return SPREAD * sqrt(request_variance)


def mixture_e_value(difference: float, variance: float, spread: float) -> float:
    """Evidence against no difference; at most `level` of all courses ever reach 1 / level.

    The normal mixture of `mixture_sprt` at any estimate that behaves like a sum over units.
    """
    wider = variance + spread**2
    exponent = 0.5 * (spread * difference) ** 2 / (variance * wider)
    return sqrt(variance / wider) * exp(min(exponent, _LARGEST_EXPONENT))


def mixture_radius(variance: float, spread: float, error: float) -> float:
    """Half the width of the confidence sequence: differences outside have an e-value of 1 / error or more.

    An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central
    limit theory and asymptotic confidence sequences", 2021, eq. 8). Requests of a unit that come later are
    positively correlated with its earlier ones, which makes the course of the estimate smoother than that of
    independent steps with the same variance, and crossings rarer (Slepian, 1962).
    """
    wider = variance + spread**2
    return sqrt(variance * wider / spread**2 * (2.0 * log(1.0 / error) + log(wider / variance)))
