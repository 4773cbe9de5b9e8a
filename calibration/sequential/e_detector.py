"""E-detector: has the risk of the answers risen above alpha? A test that may be looked at after every label.

A head-start Shiryaev-Roberts detector on audits (Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric
framework for sequential change detection", 2023). Per answered image, with A = 1 if it was audited, L = 1 if
the answer was wrong, pi the probability of its audit and rho the share of audits:

    f = 1 + lambda rho (A L / pi - alpha)        E[f | past] <= 1 while the risk is at most alpha
    P <- P f,   R <- (rho + R) f                 from P = 1, R = 0
    E = mean over lambda of  w P + (1 - w) R / H

By Ville's inequality, E reaches 1 / delta with probability at most delta over H audits' worth of images,
under any drift while the risk stays at most alpha. P alone is quickest on a new bundle but remembers all of a
good past; R forgets it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import add, mul
from typing import Final, Self

import numpy as np

from calibration.scores import BoolArray, FloatArray
from calibration.sequential.audits import found_errors

HORIZON: Final = 20_000
"""H: audits over which the false alarm rate is held"""
HEAD_START: Final = 0.6
"""w: weight of the test that begins with the bundle"""
LAMBDAS: Final = (1.5, 3.0, 6.0)
"""Bets; lambda = r - 1 is the best one against a risk of r alpha"""
_RUIN: Final = 0.999
"""Share of its value that a bet may lose on one right answer; larger ones, at a large alpha, are replaced"""
_LARGEST_LOSS: Final = 0.5
"""Share that replaces it"""
_LARGEST: Final = 1e280
"""Value at which P and R are cut, long after every alarm"""
_LARGEST_EXPONENT: Final = 640.0
"""Growth in one step is cut there for the same reason"""
_BLOCK: Final = 32
"""Images per block; products within a block stay inside of float64"""


@dataclass(frozen=True, slots=True)
class DetectorState:
    """P and R of each bet after some images. Counted from (1, 0), it also says what these images make of any
    other state, because each image maps P to f P and R to f R + f rho."""

    products: tuple[float, ...]
    """P of each bet"""
    restarts: tuple[float, ...]
    """R of each bet"""

    @classmethod
    def fresh(cls, bets: int) -> Self:
        """The state before the first image."""
        return cls((1.0,) * bets, (0.0,) * bets)

    def then(self, later: DetectorState) -> DetectorState:
        """The state after these images and then those of `later`, which was counted from a fresh state."""
        grown = map(mul, self.restarts, later.products)
        return DetectorState(
            _cut(map(mul, self.products, later.products)), _cut(map(add, grown, later.restarts))
        )


class EDetector:
    """The detector after any number of answered images."""

    def __init__(
        self,
        alpha: float,
        *,
        share: float = 1.0,
        horizon: int = HORIZON,
        weight: float = HEAD_START,
        lambdas: Sequence[float] = LAMBDAS,
    ) -> None:
        """`alpha`: the promised risk. `share`: rho in (0, 1], the audits per answered image on average.
        Raises ValueError."""
        self._rates = _Rates(alpha, share, horizon, weight, lambdas)
        self._product = [1.0] * len(self._rates.lambdas)
        self._restarts = [0.0] * len(self._rates.lambdas)

    @property
    def lambdas(self) -> tuple[float, ...]:
        """The bets, after those that one right answer would ruin were replaced."""
        return self._rates.lambdas

    @property
    def value(self) -> float:
        """E; an alarm at 1 / delta."""
        return self.value_of(self.state)

    @property
    def state(self) -> DetectorState:
        """To go on from later: `detector.state = ...` of one with the same parameters."""
        # A value beyond the largest number is no number any more after the next product.
        return DetectorState(_cut(self._product), _cut(self._restarts))

    @state.setter
    def state(self, state: DetectorState) -> None:
        if not len(state.products) == len(state.restarts) == len(self._rates.lambdas):
            raise ValueError(f"the state has {len(state.products)} bets, not {len(self._rates.lambdas)}")
        self._product, self._restarts = list(state.products), list(state.restarts)

    def value_of(self, state: DetectorState) -> float:
        """E of another state of this detector."""
        rates = self._rates
        return rates.head * sum(state.products) + rates.tail * sum(state.restarts)

    def update(self, wrong: bool, audited: bool = True, probability: float = 1.0) -> float:
        """E after one more answered image. `wrong` is not read unless `audited`.

        `probability`: pi in (0, 1] with which this image was to be audited. Raises ValueError.
        """
        if not 0.0 < probability <= 1.0:
            raise ValueError(f"probability is {probability!r}; it must lie in (0, 1]")
        found = 1.0 / probability if audited and wrong else 0.0
        rates = self._rates
        for k, stake in enumerate(rates.stakes):
            factor = 1.0 + stake * (found - rates.alpha)
            self._product[k] *= factor
            self._restarts[k] = (rates.share + self._restarts[k]) * factor
        return self.value

    def repeat(
        self, images: int, wrong: bool = False, audited: bool = False, probability: float = 1.0
    ) -> float:
        """E after `images` answered images that are alike, by default not audited, in one step.

        P f^n, and R f^n + rho (f + f^2 + ... + f^n). Raises ValueError.
        """
        if images < 0:
            raise ValueError(f"images is {images!r}; it must be at least 0")
        if not 0.0 < probability <= 1.0:
            raise ValueError(f"probability is {probability!r}; it must lie in (0, 1]")
        found = 1.0 / probability if audited and wrong else 0.0
        rates = self._rates
        if not images:
            return self.value
        for k, (gain, log_factor) in enumerate(rates.gains(found)):
            exponent = min(images * log_factor, _LARGEST_EXPONENT)
            growth = math.exp(exponent)
            # expm1 keeps the digits of a factor that is close to 1.
            sum_of_powers = images if gain == 0.0 else math.expm1(exponent) / gain
            self._restarts[k] = self._restarts[k] * growth + rates.share * (1.0 + gain) * sum_of_powers
            self._product[k] *= growth
        return self.value


def e_detector(
    wrong: BoolArray,
    alpha: float,
    *,
    audited: BoolArray | None = None,
    probability: FloatArray | None = None,
    share: float = 1.0,
    horizon: int = HORIZON,
    weight: float = HEAD_START,
    lambdas: Sequence[float] = LAMBDAS,
) -> FloatArray:
    """E after each answered image, of the shape of `wrong` [n] (or [..., n], streams of their own).

    `audited` [n]: None if all images were; `wrong` is read only where it is true. `probability` [n]: pi with
    which each image was to be audited; None if `share` for all of them. `share`: rho. The values equal
    those of `EDetector`. Raises ValueError.
    """
    rates = _Rates(alpha, share, horizon, weight, lambdas)
    found, chance = found_errors(wrong, audited, probability, share)
    inverse = np.where(found, 1.0 / chance, 0.0)
    value = np.zeros(inverse.shape)
    for stake in rates.stakes:
        product = np.ones((*inverse.shape[:-1], 1))
        restarts = np.zeros_like(product)
        for begin in range(0, inverse.shape[-1], _BLOCK):
            block = slice(begin, begin + _BLOCK)
            # Within a block R = p (R_0 + rho sum 1 / p_before): the recursion without a loop.
            within = np.cumprod(1.0 + stake * (inverse[..., block] - rates.alpha), axis=-1)
            before = np.concatenate([np.ones_like(product), within[..., :-1]], axis=-1)
            new = rates.share * np.cumsum(1.0 / before, axis=-1)
            products, sums = within * product, within * (restarts + new)
            value[..., block] += rates.head * products + rates.tail * sums
            product, restarts = products[..., -1:], sums[..., -1:]
    return value


class _Rates:
    """Checked parameters."""

    def __init__(
        self, alpha: float, share: float, horizon: int, weight: float, lambdas: Sequence[float]
    ) -> None:
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha is {alpha!r}; it must lie strictly between 0 and 1")
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share is {share!r}; it must lie in (0, 1]")
        if not horizon >= 1:
            raise ValueError(f"horizon is {horizon!r}; at least 1 audit is needed")
        if not 0.0 <= weight <= 1.0:
            raise ValueError(f"weight is {weight!r}; it must lie in [0, 1]")
        if not len(lambdas) or not all(0.0 < one < float("inf") for one in lambdas):
            raise ValueError(f"lambdas are {tuple(lambdas)!r}; positive numbers are needed")
        self.alpha, self.share = alpha, share
        loss = share * alpha
        self.lambdas = tuple(one if one * loss < _RUIN else _LARGEST_LOSS / loss for one in lambdas)
        self.stakes = tuple(one * share for one in self.lambdas)
        self._without_error = self._gains(0.0)
        self.head = weight / len(self.lambdas)
        self.tail = (1.0 - weight) / (horizon * len(self.lambdas))

    def gains(self, found: float) -> tuple[tuple[float, float], ...]:
        """(f - 1, log f) of each bet at an image with `found` = A L / pi."""
        return self._gains(found) if found else self._without_error

    def _gains(self, found: float) -> tuple[tuple[float, float], ...]:
        gains = [stake * (found - self.alpha) for stake in self.stakes]
        return tuple((gain, math.log1p(gain)) for gain in gains)


def _cut(values: Iterable[float]) -> tuple[float, ...]:
    cut = tuple(values)
    return tuple(min(one, _LARGEST) for one in cut) if max(cut) > _LARGEST else cut
