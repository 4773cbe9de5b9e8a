"""Difference of two arms by stratum, with the unit as the cluster.

With N_sa the weight of arm a in stratum s, q_sa its shares of each kind of request and

    w_s in proportion to  N_s0 N_s1 / (N_s0 + N_s1),      Q_a = sum_s w_s q_sa,      D = f(Q_1) - f(Q_0)

both arms are read as if they had had the same mixture of times, whatever the ramp was (direct standardisation
with the weights of Cochran, "Some methods for strengthening the common chi-square tests", 1954). The weights
know how many requests there were, and never what became of them. The variance of D is

    sum_u (sum of psi over the rows of unit u)^2,   psi = +-(w_s / N_sa) grad f . (kinds - qbar_s weight)

(linearised; Liang and Zeger, "Longitudinal data analysis using generalized linear models", 1986), or, if it
is more, what it would be if rows varied in both arms as they do in their stratum altogether. Rows are centred
on qbar_s, that of both arms together. Under the null the arms are equal; so an arm of twenty units that are
all right does not seem certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.experiments.metrics import Metric
from calibration.scores import BoolArray, FloatArray, IntArray

PRIOR_UNITS = 1.0
"""Units of the largest residual there is that each arm has besides its own: without them a variance estimated
on few units, or without an error, is too small"""


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows of two arms that count for a metric."""

    kinds: FloatArray
    """[n, k]"""
    weight: FloatArray
    """[n], sum of the kinds"""
    number: FloatArray
    """[n], requests behind each row"""
    arm: IntArray
    """[n], 0 or 1"""
    stratum: IntArray
    unit: IntArray
    """[n], from 0, and not much larger than n"""
    strata: int

    @classmethod
    def of(cls, table: ArmTable, metric: Metric) -> Cells:
        """Those of a table of two arms whose weight is not zero, in strata that have both arms."""
        kinds, number = metric.counts(table)
        weight = kinds @ np.ones(kinds.shape[1])
        place = 2 * table.stratum + table.arm
        filled = np.bincount(place, weights=weight, minlength=2 * table.strata).reshape(-1, 2) > 0.0
        kept = (weight > 0.0) & (filled[:, 0] & filled[:, 1])[table.stratum]
        unit = _numbered(table.unit)
        rows: BoolArray | slice = slice(None) if kept.all() else kept
        return cls(
            kinds=kinds[rows],
            weight=weight[rows],
            number=number[rows],
            arm=table.arm[rows],
            stratum=table.stratum[rows],
            unit=unit[rows],
            strata=table.strata,
        )

    def sums(self, values: FloatArray) -> FloatArray:
        """[S, 2], sums of values [n] by stratum and arm."""
        return _by_arm(self.stratum, self.arm, values, self.strata)

    def unit_sums(self, values: FloatArray) -> FloatArray:
        """[U, 2], sums of values [n] by unit and arm."""
        return _by_arm(self.unit, self.arm, values, int(self.unit.max()) + 1)


@dataclass(frozen=True, slots=True)
class Standardised:
    """Shares of each kind of both arms, as if both had had the same mixture of strata."""

    weights: FloatArray
    """w [S]; 0 for a stratum that lacks an arm"""
    sizes: FloatArray
    """N [S, 2]"""
    shares: FloatArray
    """Q [2, k]"""
    centres: FloatArray
    """qbar [S, k]"""

    @property
    def centre(self) -> FloatArray:
        """[k], shares of both arms together."""
        return np.asarray(self.weights @ self.centres, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Figures of two arms by stratum, and how uncertain they are."""

    values: tuple[float, float]
    """The metric of the control and of the challenger"""
    difference: float
    variance: float
    """Of the difference"""
    request_variance: float
    """Of the contribution of one request by itself, if requests were independent and the arms equal"""
    arm_variances: tuple[float, float]
    """Of each figure by itself"""
    effective: tuple[float, float]
    """Independent requests of equal weight that would have these variances; of a metric that is a share"""
    events: float
    """Expected number of the rarer events in the arm that has fewer of them, if the arms are equal"""
    units: tuple[int, int]
    """Units that count"""
    requests: tuple[int, int]
    """Requests that count"""
    strata: int
    """Strata that have both arms"""


def standardise(cells: Cells) -> Standardised | None:
    """The standardised shares; None without a stratum that has both arms."""
    kinds = np.stack([cells.sums(column) for column in cells.kinds.T], axis=2)
    sizes = kinds.sum(axis=2)
    both = sizes.sum(axis=1)
    harmonic = np.divide(sizes[:, 0] * sizes[:, 1], both, out=np.zeros(len(both)), where=both > 0.0)
    if not harmonic.sum() > 0.0:
        return None
    weights = harmonic / harmonic.sum()
    shares = np.einsum("s,sak->ak", weights, kinds / _safe(sizes)[:, :, None])
    return Standardised(weights, sizes, shares, kinds.sum(axis=1) / _safe(both)[:, None])


def estimate(table: ArmTable, metric: Metric) -> Estimate | None:
    """The difference of the two arms of a table; None if there is nothing to compare.

    That is: no stratum has both arms, or the metric is not defined on what there is.
    """
    cells = Cells.of(table, metric)
    found = standardise(cells)
    gradient = None if found is None else metric.gradient(found.centre)
    if found is None or gradient is None or any(metric.gradient(one) is None for one in found.shares):
        return None
    psi = _influence(cells, found, gradient)
    of_unit = cells.unit_sums(psi)
    owned = cells.unit_sums(cells.weight * (found.weights / _safe(found.sizes.T)).T[cells.stratum, cells.arm])
    kish = 1.0 / _squares(owned)
    beyond = (gradient - gradient @ found.centre) ** 2
    largest = PRIOR_UNITS * float(beyond.max())
    added = largest / kish**2
    variance = max(_own_variance(psi, of_unit), _pooled_variance(cells, found, gradient))
    effective = _effective(cells, found, metric.events[0], kish)
    values = metric.value(found.shares[0]), metric.value(found.shares[1])
    return Estimate(
        values=values,
        difference=values[1] - values[0],
        variance=variance + float(added.sum()),
        request_variance=float(found.centre @ beyond) + largest / float(kish.sum()),
        arm_variances=_pair(_squares(of_unit) + added),
        effective=_pair(effective),
        events=float(effective.min()) * _rarest(metric, found.centre),
        units=(int(np.count_nonzero(owned[:, 0])), int(np.count_nonzero(owned[:, 1]))),
        requests=(int(cells.number[cells.arm == 0].sum()), int(cells.number[cells.arm == 1].sum())),
        strata=int(np.count_nonzero(found.weights)),
    )


def _own_variance(psi: FloatArray, of_unit: FloatArray) -> float:
    """Sum of the squares of the units; a unit in both arms may cancel itself, so rows alone count too."""
    whole = of_unit[:, 0] + of_unit[:, 1]
    return max(float(whole @ whole), float(psi @ psi))


def _pooled_variance(cells: Cells, found: Standardised, gradient: FloatArray) -> float:
    """The variance if a row varies in both arms as it does in its stratum altogether.

    Rows of one unit in several strata, or several in one, count by the factor by which their sums vary more
    than independent rows would.
    """
    centred = _centred(cells, found, gradient)
    square = np.bincount(cells.stratum, weights=centred**2, minlength=cells.strata)
    rows = cells.sums(np.ones(len(centred)))
    of_row = square / np.maximum(rows.sum(axis=1), 1.0)
    independent = float(found.weights**2 * of_row @ (rows / _safe(found.sizes) ** 2).sum(axis=1))
    scaled = centred * (found.weights / _safe(found.sizes.sum(axis=1)))[cells.stratum]
    together = np.bincount(cells.unit, weights=scaled)
    apart = float(scaled @ scaled)
    return independent * max(1.0, float(together @ together) / apart) if apart > 0.0 else independent


def _centred(cells: Cells, found: Standardised, gradient: FloatArray) -> FloatArray:
    """[n], what each row has beyond the mean of its stratum, in units of the metric."""
    rows = np.bincount(cells.stratum, minlength=cells.strata)
    # The centre was estimated on the same rows.
    lost = np.sqrt(rows / np.maximum(rows - 1.0, 1.0))
    centred = cells.kinds @ gradient - (found.centres @ gradient)[cells.stratum] * cells.weight
    return np.asarray(centred * lost[cells.stratum], dtype=np.float64)


def _influence(cells: Cells, found: Standardised, gradient: FloatArray) -> FloatArray:
    """psi [n]"""
    scale = np.array([-1.0, 1.0]) * found.weights[:, None] / _safe(found.sizes)
    return np.asarray(scale[cells.stratum, cells.arm] * _centred(cells, found, gradient), dtype=np.float64)


def _effective(cells: Cells, found: Standardised, group: tuple[int, ...], kish: FloatArray) -> FloatArray:
    """[2], independent requests among which the share of a group of kinds would be as uncertain as it is.

    At most the requests that there are, and the units where nothing varies.
    """
    inside = np.zeros(cells.kinds.shape[1])
    inside[list(group)] = 1.0
    variances = _squares(cells.unit_sums(_influence(cells, found, inside)))
    centre = found.centre @ inside
    # Of one request, around the common centre, as the variances are.
    one = (found.shares @ inside) * (1.0 - 2.0 * centre) + centre**2
    known = (variances > 0.0) & (one > 0.0)
    independent = np.where(known, one / np.where(known, variances, 1.0), kish)
    number = cells.sums(cells.number)
    most = 1.0 / (found.weights[:, None] ** 2 / _safe(number)).sum(axis=0)
    return np.asarray(np.minimum(independent, most), dtype=np.float64)


def _rarest(metric: Metric, centre: FloatArray) -> float:
    """Share of the rarest event of a metric, or of its absence."""
    shares = [float(centre[list(group)].sum()) for group in metric.events]
    return min(min(one, 1.0 - one) for one in shares)


def _by_arm(place: IntArray, arm: IntArray, values: FloatArray, places: int) -> FloatArray:
    found = np.bincount(2 * place + arm, weights=values, minlength=2 * places)
    return np.asarray(found.reshape(places, 2), dtype=np.float64)


def _numbered(unit: IntArray) -> IntArray:
    """Numbers of units that are small enough to count by."""
    if len(unit) and unit.min() >= 0 and unit.max() < 4 * len(unit) + 1024:
        return unit
    return np.asarray(np.unique(unit, return_inverse=True)[1], dtype=np.int64)


def _squares(sums: FloatArray) -> FloatArray:
    """[2], sums of the squares of sums [U, 2]."""
    return np.array([one @ one for one in sums.T])


def _safe(sizes: FloatArray) -> FloatArray:
    """Sizes by which a zero may be divided."""
    return np.where(sizes > 0.0, sizes, 1.0)


def _pair(values: FloatArray) -> tuple[float, float]:
    return float(values[0]), float(values[1])
