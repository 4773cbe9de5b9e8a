"""Shadow pairs: the control and a shadow have decided the same requests, so only where they differ counts."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from calibration.experiments.arms import ShadowPairs
from calibration.experiments.comparison import LEVEL
from calibration.scores import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Accuracy of a shadow against that of the control on the same requests; for one look."""

    pairs: int
    units: int
    only_control: int
    """Pairs of which the control alone is right"""
    only_shadow: int
    difference: float | None
    """Accuracy of the shadow minus that of the control; None without a pair"""
    low: float | None
    high: float | None
    p_value: float


def mcnemar(pairs: ShadowPairs, level: float = LEVEL) -> PairedComparison:
    """The exact test of McNemar with the unit as the cluster, and an interval of the difference.

    Under the null each unit's difference, pairs that the shadow alone has right minus those that the control
    alone has, is as likely to have the other sign; the p-value is that of the sum over all signs, two-sided.
    With one pair per unit it is the exact test of McNemar (Psychometrika 12, 1947). The interval has the
    cluster-robust variance with one more unit that differs for each side. Raises ValueError.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must lie strictly between 0 and 1")
    number, size = int(pairs.pairs.sum()), pairs.pairs
    control, shadow = int(pairs.only_control.sum()), int(pairs.only_shadow.sum())
    units = int(np.count_nonzero(size))
    if not number:
        return PairedComparison(0, 0, 0, 0, None, None, None, 1.0)
    each = pairs.only_shadow.astype(np.int64) - pairs.only_control
    difference = (shadow - control) / number
    residual = each - difference * size
    spread = sqrt(float(residual @ residual) + 2.0 * (number / units) ** 2) / number
    half = NormalDist().inv_cdf(1.0 - level / 2.0) * spread
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return PairedComparison(number, units, control, shadow, difference, low, high, sign_flip_p_value(each))


def sign_flip_p_value(differences: IntArray) -> float:
    """P(|sum of +-d_u| >= |sum of d_u|) over all signs, exact; `differences` [n], whole numbers d_u."""
    sizes = np.abs(differences)
    total, seen = int(sizes.sum()), abs(int(differences.sum()))
    if not total:
        return 1.0
    chances = _sums_of_signs(sizes, total)
    # The sum with k of `total` on the positive side is 2 k - total.
    outside = np.abs(2 * np.arange(total + 1) - total) >= seen
    return float(min(1.0, max(0.0, chances[outside].sum())))


def _sums_of_signs(sizes: IntArray, total: int) -> FloatArray:
    """[total + 1], probability of each sum of the sizes whose sign is positive, by its Fourier transform."""
    angle = 2.0 * np.pi * np.arange((total + 1) // 2 + 1) / (total + 1)
    transform = np.ones(len(angle), dtype=np.complex128)
    for size, units in zip(*np.unique(sizes[sizes > 0], return_counts=True), strict=True):
        transform *= (0.5 + 0.5 * np.exp(-1j * angle * size)) ** units
    return np.asarray(np.fft.irfft(transform, total + 1), dtype=np.float64)
