"""Comparison of a challenger with the control in one metric, with its conclusion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.experiments.intervals import (
    mixture_e_value,
    mixture_radius,
    newcombe_interval,
    newcombe_p_value,
    spread_of,
)
from calibration.experiments.metrics import Metric, metric_of
from calibration.experiments.stratified import Cells, Estimate, estimate, standardise
from calibration.resampling import bootstrap
from calibration.scores import FloatArray, IntArray

Mode = Literal["fixed", "anytime"]
"""fixed: valid for one look, at a moment that was chosen before. anytime: valid at every look."""
Conclusion = Literal["better", "worse", "none", "inconclusive"]
"""none: the difference is smaller than what matters. inconclusive: it cannot be said yet."""

LEVEL: Final = 0.05
"""Share of wrong conclusions that is allowed"""
FEWEST_EVENTS: Final = 5.0
"""Expected events, of the rarer kind and in the smaller arm, below which nothing is better or worse"""
FEWEST_UNITS: Final = 10
"""Units of each arm below which nothing is concluded"""
RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One challenger against the control in one metric, by stratum."""

    metric: str
    arm: str
    """The challenger"""
    mode: Mode
    level: float
    """Error level of the interval and of the conclusion, both sides together"""
    margin: float
    """Smallest difference that matters"""
    conclusion: Conclusion
    reason: str
    """Why the conclusion is this one, in words"""
    control: float | None = None
    """The figure of the control, with both arms at the same mixture of strata; None: no data"""
    challenger: float | None = None
    difference: float | None = None
    """Challenger minus control"""
    low: float | None = None
    high: float | None = None
    p_value: float = 1.0
    """Anytime: 1 / e-value, at most 1"""
    e_value: float | None = None
    """None in the fixed mode, and without data"""
    variance: float | None = None
    """Of the difference"""
    units: tuple[int, int] = (0, 0)
    """Units that count, of the control and of the challenger"""
    requests: tuple[int, int] = (0, 0)
    """Requests that count"""
    strata: int = 0
    """Strata that have both arms"""


def compare(
    table: ArmTable,
    metric: str | Metric,
    mode: Mode = "anytime",
    *,
    arm: str | None = None,
    level: float = LEVEL,
    margin: float | None = None,
) -> Comparison:
    """The comparison of one challenger, by default the first, with the control.

    `metric`: one of METRICS, or a value of your own. `level`: in (0, 1). `margin`: smallest difference that
    matters, by default that of the metric. Of metrics that are no shares, the interval of the fixed mode is a
    bootstrap over units. Raises ValueError.
    """
    figure = metric if isinstance(metric, Metric) else metric_of(metric)
    if mode not in ("fixed", "anytime"):
        raise ValueError(f"mode is {mode!r}; it must be fixed or anytime")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must lie strictly between 0 and 1")
    smallest = figure.margin if margin is None else margin
    if not 0.0 < smallest < np.inf:
        raise ValueError(f"margin is {smallest!r}; it must be positive")
    name = table.arms[1] if arm is None else arm
    two = table.pair(table.index(name))
    found = estimate(two, figure)
    empty = Comparison(figure.name, name, mode, level, smallest, "inconclusive", "there is no data")
    if found is None:
        return replace(empty, reason=_why_empty(two, figure))
    known = replace(
        empty,
        control=found.values[0],
        challenger=found.values[1],
        difference=found.difference,
        variance=found.variance,
        units=found.units,
        requests=found.requests,
        strata=found.strata,
    )
    measured = _anytime(known, found, figure) if mode == "anytime" else _fixed(known, found, two, figure)
    return concluded(measured, figure, found.events)


def concluded(measured: Comparison, metric: Metric, events: float) -> Comparison:
    """The comparison with the conclusion that its interval allows."""
    low, high = measured.low, measured.high
    if low is None or high is None or min(measured.units) < FEWEST_UNITS:
        fewest = f"{FEWEST_UNITS} units of each arm are needed; there are {min(measured.units)}"
        return replace(measured, conclusion="inconclusive", reason=fewest)
    if max(-low, high) <= measured.margin:
        reason = f"the whole interval is within +-{measured.margin:g}"
        return replace(measured, conclusion="none", reason=reason)
    if low <= 0.0 <= high:
        return replace(measured, conclusion="inconclusive", reason="the interval holds zero and more")
    if events < FEWEST_EVENTS:
        reason = f"about {events:.1f} of the rarer events are expected per arm; {FEWEST_EVENTS:g} are needed"
        return replace(measured, conclusion="inconclusive", reason=reason)
    better = (low > 0.0) == metric.higher_is_better
    return replace(measured, conclusion="better" if better else "worse", reason="zero is outside")


def _anytime(known: Comparison, found: Estimate, metric: Metric) -> Comparison:
    spread = spread_of(found.request_variance)
    evidence = mixture_e_value(found.difference, found.variance, spread)
    radius = mixture_radius(found.variance, spread, known.level)
    return replace(
        known,
        low=max(-metric.farthest, found.difference - radius),
        high=min(metric.farthest, found.difference + radius),
        e_value=evidence,
        p_value=min(1.0, 1.0 / evidence),
    )


def _fixed(known: Comparison, found: Estimate, two: ArmTable, metric: Metric) -> Comparison:
    if metric.is_share:
        low, high = newcombe_interval(found, 1.0 - known.level)
        return replace(known, low=low, high=high, p_value=newcombe_p_value(found))
    drawn = bootstrap_over_units(two, metric, known.level)
    if drawn is None:
        return known
    return replace(known, low=drawn[0], high=drawn[1], p_value=drawn[2])


def bootstrap_over_units(
    two: ArmTable, metric: Metric, level: float, resamples: int = RESAMPLES
) -> tuple[float, float, float] | None:
    """(low, high, p-value) of the difference from units drawn anew; None where it is never defined."""
    cells = Cells.of(two, metric)

    def difference(kinds: FloatArray, number: FloatArray, arm: IntArray, stratum: IntArray) -> float:
        found = standardise(Cells(kinds, kinds.sum(axis=1), number, arm, stratum, arm, cells.strata))
        if found is None or any(metric.gradient(one) is None for one in found.shares):
            return float("nan")
        return metric.value(found.shares[1]) - metric.value(found.shares[0])

    columns = (cells.kinds, cells.number, cells.arm, cells.stratum)
    drawn = bootstrap(difference, *columns, groups=cells.unit, resamples=resamples, level=1.0 - level)
    defined = drawn.distribution[~np.isnan(drawn.distribution)]
    if not len(defined):
        return None
    one_side = min(np.count_nonzero(defined <= 0.0), np.count_nonzero(defined >= 0.0))
    p_value = min(1.0, 2.0 * (one_side + 1) / (len(defined) + 1))
    return float(drawn.low), float(drawn.high), float(p_value)


def _why_empty(two: ArmTable, metric: Metric) -> str:
    weight = metric.counts(two)[0].sum(axis=1)
    for index, name in enumerate(two.arms):
        if not (weight[two.arm == index] > 0.0).any():
            return f"there are no {metric.reads} of {name} yet"
    return f"{metric.name} is not defined on what there is: no stratum has both arms, or there is one class"
