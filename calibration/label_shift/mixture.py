"""Whether label shift explains unlabelled images: are their scores a mixture of the two classes' scores?

The distance is that of Kolmogorov and Smirnov to the best mixture of the calibration scores of the classes,
its p-value by a parametric bootstrap from that mixture. It sees gross changes only: scores that moved by a
fifth of their spread pass in most draws, and can double the risk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import FloatArray, IntArray

BOOTSTRAPS = 199
"""Samples of the bootstrap; the smallest p-value is 1 / (BOOTSTRAPS + 1)"""
REJECTED = 0.01
"""p-value up to which a mixture is rejected"""

_ROUNDS = 40
"""Thirds that are cut from the interval of shares"""


@dataclass(frozen=True, slots=True)
class MixtureCheck:
    """The best mixture of the two classes' scores, and how well it explains unlabelled ones."""

    share: float
    """Of class 1 in the best mixture"""
    distance: float
    """Largest difference of the distribution functions"""
    p_value: float

    @property
    def rejected(self) -> bool:
        return self.p_value <= REJECTED


def check_mixture(
    scores: ArrayLike,
    classes: IntArray,
    unlabelled: ArrayLike,
    *,
    seed: int = 0,
    bootstraps: int = BOOTSTRAPS,
) -> MixtureCheck:
    """Test "the unlabelled scores are a mixture of the classes' scores"; ties are allowed.

    scores, classes [n] of the calibration units, both classes present; unlabelled [m >= 1]. ValueError
    otherwise, or for a score that is no finite number.
    """
    known, new = (np.asarray(values, dtype=np.float64) for values in (scores, unlabelled))
    if not (np.isfinite(known).all() and np.isfinite(new).all()):
        raise ValueError("scores must be finite numbers")
    counts = np.bincount(classes, minlength=2)
    if len(counts) != 2 or counts.min() == 0 or len(new) == 0:
        raise ValueError(
            f"scores are of {', '.join(map(str, counts.tolist()))} units per class and {len(new)} unlabelled "
            "ones; each of the two classes, and the unlabelled ones, need at least one"
        )
    values, code = np.unique(np.concatenate([known, new]), return_inverse=True)
    zero, one = (_distribution(code[: len(known)][classes == label], len(values)) for label in (0, 1))
    share, distance = _best_share(zero, one, _distribution(code[len(known) :], len(values)))
    rng = np.random.default_rng(seed)
    weights = [np.diff(zero, prepend=0.0), np.diff(one, prepend=0.0)]
    mixed = (1.0 - share) * weights[0] + share * weights[1]
    drawn = [
        _best_share(
            *(
                np.cumsum(rng.multinomial(size, weight / weight.sum())) / size
                for size, weight in zip((*counts, len(new)), (*weights, mixed), strict=True)
            )
        )[1]
        for _ in range(bootstraps)
    ]
    above = int((np.asarray(drawn) >= distance - 1e-12).sum())
    return MixtureCheck(share, distance, (1 + above) / (1 + bootstraps))


def _distribution(code: IntArray, values: int) -> FloatArray:
    """Distribution function at each distinct value."""
    return np.asarray(np.cumsum(np.bincount(code, minlength=values)) / len(code), dtype=np.float64)


def _best_share(zero: FloatArray, one: FloatArray, new: FloatArray) -> tuple[float, float]:
    """(share of class 1, distance) of the mixture nearest to `new`; the distance is convex in the share."""
    base, slope = new - zero, one - zero

    def distance(share: float) -> float:
        return float(np.abs(base - share * slope).max())

    low, high = 0.0, 1.0
    for _ in range(_ROUNDS):
        third = (high - low) / 3.0
        if distance(low + third) <= distance(high - third):
            high -= third
        else:
            low += third
    share = 0.5 * (low + high)
    return share, distance(share)
