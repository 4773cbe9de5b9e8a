"""Bootstrap intervals; whole groups are resampled if images depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.scores import FloatArray, IntArray

Statistic = Callable[..., Any]
"""Takes the resampled arrays in the given order; returns a float or a float array [d]"""


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with its percentile bootstrap interval."""

    estimate: FloatArray
    """The statistic on the data themselves; shape [] or [d]"""
    low: FloatArray
    high: FloatArray
    level: float
    distribution: FloatArray
    """[resamples] or [resamples, d]; rows on which the statistic is undefined (NaN) included"""
    units: int
    """Number of resampled units: groups, or rows if there are no groups"""

    def __float__(self) -> float:
        return float(self.estimate)

    def excludes(self, value: float) -> bool:
        """True if `value` lies outside the interval (of a scalar statistic)."""
        return bool(value < self.low or value > self.high)


def bootstrap(
    statistic: Statistic,
    *arrays: ArrayLike,
    groups: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of `statistic(*arrays)` (Efron and Tibshirani, 1993, section 13.3).

    `arrays`: each [n] or [n, ...], resampled together by row, so several models scored on the same images
    give a paired interval. `groups` [n]: labels of the groups (drives, tracks, bursts); whole groups are
    drawn with replacement, each with all its rows. Without groups the rows count as
    independent. The same `seed` gives the same interval.

    If a statistic is NaN on some resamples (a missing class), its interval comes from the others.
    """
    data = [np.asarray(array) for array in arrays]
    n = _common_length(data)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be at least 1")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must lie strictly between 0 and 1")
    estimate = np.asarray(statistic(*data), dtype=np.float64)
    draws = _row_draws(n, None if groups is None else np.asarray(groups), resamples, seed)
    distribution = np.array([statistic(*(array[rows] for array in data)) for rows in draws], dtype=np.float64)
    tail = (1.0 - level) / 2
    low, high = _quantiles_without_nan(distribution, (tail, 1.0 - tail))
    units = n if groups is None else len(np.unique(np.asarray(groups)))
    return Interval(estimate, low, high, level, distribution, units)


def bootstrap_difference(
    statistic: Statistic,
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    groups: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of `statistic(*first) - statistic(*second)` for two models on the same images.

    Both use the same resampled rows, so that their common variation cancels. Other parameters as for
    `bootstrap`.
    """
    split = len(first)

    def difference(*arrays: NDArray[Any]) -> FloatArray:
        one, other = statistic(*arrays[:split]), statistic(*arrays[split:])
        return np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)

    return bootstrap(difference, *first, *second, groups=groups, resamples=resamples, level=level, seed=seed)


def _row_draws(n: int, groups: NDArray[Any] | None, resamples: int, seed: int) -> Iterator[IntArray]:
    """Row indices of each resample, in increasing order of row or of group."""
    generator = np.random.default_rng(seed)
    if groups is None:
        for _ in range(resamples):
            yield np.repeat(np.arange(n), np.bincount(generator.integers(0, n, size=n), minlength=n))
        return
    if groups.shape != (n,):
        raise ValueError(f"groups has shape {groups.shape}; the arrays need ({n},)")
    _, group_of = np.unique(groups, return_inverse=True)
    by_group = np.argsort(group_of, kind="stable")
    sizes = np.bincount(group_of)
    starts = np.cumsum(sizes) - sizes
    for _ in range(resamples):
        drawn = np.sort(generator.integers(0, len(sizes), size=len(sizes)))
        drawn_sizes = sizes[drawn]
        ends = np.cumsum(drawn_sizes)
        within = np.arange(ends[-1]) - np.repeat(ends - drawn_sizes, drawn_sizes)
        yield by_group[np.repeat(starts[drawn], drawn_sizes) + within]


def _quantiles_without_nan(distribution: FloatArray, levels: tuple[float, float]) -> FloatArray:
    undefined = np.isnan(distribution)
    if not undefined.any():
        return np.asarray(np.quantile(distribution, levels, axis=0))
    columns = distribution.reshape(len(distribution), -1)
    bounds = np.full((2, columns.shape[1]), np.nan)
    for index, column in enumerate(columns.T):
        defined = column[~np.isnan(column)]
        if len(defined):
            bounds[:, index] = np.quantile(defined, levels)
    return np.asarray(bounds.reshape((2, *distribution.shape[1:])))


def _common_length(arrays: Sequence[NDArray[Any]]) -> int:
    if not arrays:
        raise ValueError("bootstrap needs at least one array")
    lengths = {array.shape[0] if array.ndim else 0 for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"the arrays have {sorted(lengths)} rows; all need one number of rows, above 0")
    return lengths.pop()
