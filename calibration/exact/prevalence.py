"""Shares of the classes at which a promise must hold, and exact samples of a world with such shares.

With a_y the probability that an image of class y is answered, and e_y that it is answered wrongly, the risk
at shares p is at most alpha exactly if sum over y of p_y (e_y - alpha a_y) <= 0. That is linear in p, so a
policy that keeps its promise at the corners of a set of shares keeps it inside of the set.

A corner is tested on a sample of its world, drawn from the calibration units: the size N is fixed from the
class counts alone, the class counts of the sample are multinomial, and each class gives random units. These
are N independent draws of that world. A draw that ended as soon as a class runs out would tilt the mix, and
counts scaled by weights and rounded are no counts of independent images.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from calibration.certificate import ClassShares, class_intervals
from calibration.scores import FloatArray, IntArray

RUN_OUT = 0.005
"""Largest probability that a draw asks a class for more units than it has; the certificate is then
infeasible, so this costs power and no validity"""
MOST_CORNERS = 32
"""Corners of a box of shares that are tested; each of them costs coverage"""
SAME = 1e-9
"""Shares that differ by less are one share"""

_MOST_COMBINATIONS = 2**16


@dataclass(frozen=True, slots=True)
class Prevalence:
    """A box of class shares: the share of class k lies in `box[k]`."""

    classes: tuple[str, ...]
    box: tuple[tuple[float, float], ...]
    """One interval per class, within [0, 1]"""
    found: bool = False
    """The ends are hundredths that were found on labels of the units that test them (two classes)"""

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(self.box) != len(self.classes):
            raise ValueError(
                f"prevalence has {len(self.box)} intervals for {len(self.classes)} classes "
                f"({', '.join(self.classes)}); give one per class"
            )
        for name, (low, high) in zip(self.classes, self.box, strict=True):
            if not 0.0 <= low <= high <= 1.0:
                raise ValueError(
                    f"prevalence of {name} is {low:g} to {high:g}; an interval must rise, within [0, 1]"
                )
        least, most = (math.fsum(interval[end] for interval in self.box) for end in (0, 1))
        if least > 1.0 + SAME or most < 1.0 - SAME:
            raise ValueError(
                f"prevalence leaves no shares that add up to 1: the least of all classes add up to "
                f"{least:g}, the largest to {most:g}"
            )

    @classmethod
    def of(cls, shares: ClassShares, classes: Sequence[str]) -> Self:
        """From an interval (lo, hi) of class 1 of two classes, or from one interval per class.

        ValueError if they do not fit the classes.
        """
        names, intervals = tuple(classes), class_intervals(shares)
        if isinstance(shares[0], tuple):
            return cls(names, intervals)
        ((low, high),) = intervals
        if len(names) != 2:
            raise ValueError(
                f"prevalence is one interval, {low:g} to {high:g}, and there are {len(names)} classes "
                f"({', '.join(names)}); give one interval per class, in this order"
            )
        return cls(names, ((1.0 - high, 1.0 - low), (low, high)))

    @property
    def stated(self) -> ClassShares:
        """The interval of class 1 of two classes, else one per class."""
        return self.box[1] if len(self.box) == 2 else self.box

    @property
    def stated_of(self) -> tuple[str, ...]:
        """Names of the classes whose intervals are `stated`."""
        return self.classes[1:] if len(self.box) == 2 else self.classes

    def corners(self) -> FloatArray:
        """The corners of the box cut with the simplex, [C, K], ascending in class 1 of two classes.

        All shares of a corner but one lie at an end of their interval. ValueError for more than
        `MOST_CORNERS`.
        """
        ends = [(low,) if high - low < SAME else (low, high) for low, high in self.box]
        found: list[list[float]] = []
        for free in range(len(ends)):
            others = ends[:free] + ends[free + 1 :]
            if math.prod(map(len, others)) > _MOST_COMBINATIONS:
                raise ValueError(f"prevalence leaves the shares of {len(ends)} classes open; {_FEWER}")
            for chosen in itertools.product(*others):
                rest = 1.0 - math.fsum(chosen)
                low, high = self.box[free]
                corner = [*chosen[:free], min(max(rest, low), high), *chosen[free:]]
                if low - SAME <= rest <= high + SAME and not any(_same(corner, other) for other in found):
                    found.append(corner)
            if len(found) > MOST_CORNERS:
                raise ValueError(f"prevalence has more than {MOST_CORNERS} corners; {_FEWER}")
        return np.asarray(sorted(found, key=lambda corner: corner[1:]), dtype=np.float64)

    def name_of(self, shares: Sequence[float]) -> str:
        """`40 % roadwork`; of more than two classes the shares of all."""
        values = shares[1:] if len(self.box) == 2 else shares
        return ", ".join(
            f"{percent(share)} {name}" for share, name in zip(values, self.stated_of, strict=True)
        )


_FEWER = "fix the share of some classes, or leave fewer of them open"


def percent(share: float) -> str:
    """`12.5 %`, to four digits."""
    return f"{100 * share:.4g} %"


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) < SAME for a, b in zip(one, other, strict=True))


@dataclass(frozen=True, slots=True)
class WorldDraw:
    """A sample of the world with given class shares, from labelled units."""

    shares: tuple[float, ...]
    size: int
    """N, fixed from the class counts of the units"""
    wanted: tuple[int, ...]
    """Units that the draw asks of each class; they add up to N"""
    rows: IntArray | None
    """[N], the units that are drawn; None if a class has fewer than the draw asks for"""


def draw_size(counts: ArrayLike, shares: ArrayLike) -> int:
    """The largest N whose multinomial draw asks a class for more than it has with probability <= `RUN_OUT`.

    counts [K]: units per class; shares [K], adding up to 1. The probabilities of the classes are added up;
    for two classes the sum is exact up to N = the number of units, beyond which one always runs out.
    """
    units, share = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    low, high = 0, int(units.sum()) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _runs_out(middle, units, share) <= RUN_OUT else (low, middle)
    return low


def _runs_out(size: int, units: FloatArray, share: FloatArray) -> float:
    """Sum over the classes of P(Bin(size, share) > units)."""
    left = size - units
    # P(Bin(N, p) >= n + 1) = I_p(n + 1, N - n)
    above = special.betainc(units + 1.0, np.where(left > 0, left, 1.0), share)
    return float(np.where(left > 0, above, 0.0).sum())


def draw_world(classes: IntArray, shares: Sequence[float], key: Sequence[int]) -> WorldDraw:
    """A sample of the world with these class shares; classes [n] of the units, 0..K-1.

    Beside the classes a function of `key` and shares alone. Two worlds share their random numbers (the
    quantiles of the counts, the order of the units of a class), so that what holds in one of them mostly
    holds in the other; each of them by itself is an exact sample.
    """
    k = len(shares)
    counts = np.bincount(classes, minlength=k)
    size = draw_size(counts, shares)
    rng = np.random.default_rng(key)
    quantiles, order = rng.random(k - 1), rng.permutation(len(classes))
    wanted = _multinomial(size, shares, quantiles.tolist())
    if (np.asarray(wanted) > counts).any():
        return WorldDraw(tuple(shares), size, wanted, None)
    of_class = classes[order]
    rows = [order[of_class == label][:many] for label, many in enumerate(wanted)]
    return WorldDraw(tuple(shares), size, wanted, np.concatenate(rows).astype(np.int64, copy=False))


def _multinomial(size: int, shares: Sequence[float], quantiles: Sequence[float]) -> tuple[int, ...]:
    """Multinomial counts, one class after the other, as binomial quantiles of what is left.

    The last class comes first: of two classes `quantiles` is that of class 1.
    """
    counts, left, mass = [0] * len(shares), size, 1.0
    for label, quantile in zip(range(len(shares) - 1, 0, -1), quantiles, strict=True):
        share = min(max(shares[label] / mass, 0.0), 1.0) if mass > SAME else 0.0
        counts[label] = _binomial_quantile(quantile, left, share)
        left, mass = left - counts[label], mass - shares[label]
    counts[0] = left
    return tuple(counts)


def _binomial_quantile(quantile: float, size: int, share: float) -> int:
    """The least b with P(Bin(size, share) <= b) >= quantile."""
    low, high = -1, size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if special.bdtr(middle, size, share) >= quantile else (middle, high)
    return high


def draw_key(seed: int, split_digest: str | None, classes: IntArray) -> tuple[int, ...]:
    """Key of the draws: the seed of the promise, and what the split is.

    The seed alone is the same for almost all users, so that one quantile of the binomial counts would decide
    all certificates, and false ones would be likelier than delta if that quantile is a low one.
    """
    split = split_digest or " ".join(map(str, np.bincount(classes).tolist()))
    whole = hashlib.sha256(f"draws of worlds {seed} {split}".encode()).digest()
    return tuple(int.from_bytes(whole[i : i + 4], "big") for i in range(0, len(whole), 4))
