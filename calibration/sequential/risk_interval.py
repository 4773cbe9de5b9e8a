"""Interval of the risk of the answers so far that is valid at every look, under any drift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.scores import BoolArray, FloatArray
from calibration.sequential.audits import UNIFORM_PART, found_errors

_TILTS: Final = np.geomspace(0.01, 1000.0, 48)
"""Odds by which an alternative has more errors; the lower limit bets on them, the upper on their inverse"""
_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class IntervalState:
    """Sums from which an interval goes on later."""

    images: int
    log_more: tuple[float, ...]
    log_fewer: tuple[float, ...]


class RiskInterval:
    """The interval after any number of answered images.

    With found errors i of audit probability pi_i among n answered images, and a bet a > -min pi,

        M(a, m) = prod_i (1 + a / pi_i) / (1 + m a)^n

    is, at the mean m of the images' risks so far, at most a martingale of mean 1: each image has
    E[1 + a A L / pi | past] = 1 + a mu_i, and sum log(1 + a mu_i) <= n log(1 + a m) by Jensen. A mean over
    fixed bets a > 0 bounds m from below, one over a < 0 from above, each at half of delta, by Ville's
    inequality. With pi = 1 these are the Bernoulli confidence sequences of Howard, Ramdas, McAuliffe and
    Sekhon ("Time-uniform Chernoff bounds via nonnegative supermartingales", 2020).
    """

    def __init__(
        self, *, share: float = 1.0, least_probability: float | None = None, delta: float = 0.05
    ) -> None:
        """`share`: audits per answered image on average. `least_probability`: smallest probability of an
        audit, by default `share`. Raises ValueError."""
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share is {share!r}; it must lie in (0, 1]")
        least = share if least_probability is None else least_probability
        if not 0.0 < least <= 1.0:
            raise ValueError(f"least_probability is {least!r}; it must lie in (0, 1]")
        if not 0.0 < delta < 1.0:
            raise ValueError(f"delta is {delta!r}; it must lie strictly between 0 and 1")
        self._least = least
        self._limit = math.log(2.0 / delta)
        self._more = share * _TILTS
        self._fewer = -least * _TILTS / (1.0 + _TILTS)
        self._log_more = np.zeros(len(_TILTS))
        self._log_fewer = np.zeros(len(_TILTS))
        self._n = 0

    def add(self, images: int, error_probabilities: FloatArray) -> None:
        """Count `images` more answered images, and the audit probabilities [k] of the k errors found among
        them. Raises ValueError for a probability below the least one."""
        chance = np.asarray(error_probabilities, dtype=np.float64)
        if len(chance) > images:
            raise ValueError(f"{len(chance)} errors were found among {images} images")
        if not ((chance >= self._least * (1.0 - 1e-9)) & (chance <= 1.0)).all():
            raise ValueError(f"an audit probability lies outside of [{self._least:g}, 1]")
        self._n += images
        self._log_more += np.log1p(self._more / chance[:, None]).sum(axis=0)
        self._log_fewer += np.log1p(self._fewer / chance[:, None]).sum(axis=0)

    @property
    def state(self) -> IntervalState:
        """To go on from later: `interval.state = ...` of one with the same parameters."""
        return IntervalState(self._n, tuple(self._log_more.tolist()), tuple(self._log_fewer.tolist()))

    @state.setter
    def state(self, state: IntervalState) -> None:
        if not len(state.log_more) == len(state.log_fewer) == len(_TILTS):
            raise ValueError(f"the state has {len(state.log_more)} bets, not {len(_TILTS)}")
        self._n = state.images
        self._log_more, self._log_fewer = np.array(state.log_more), np.array(state.log_fewer)

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high) of the mean risk of all answered images so far."""
        low = self._crossing(self._log_more, self._more, rising=False)
        return low, max(low, self._crossing(self._log_fewer, self._fewer, rising=True))

    def _crossing(self, logs: FloatArray, bets: FloatArray, *, rising: bool) -> float:
        """The m at which the mean of M over `bets` reaches its limit: the end of what is not rejected.

        log M is convex in m, so Newton's steps from a rejected end never leave what is rejected.
        """
        risk = 1.0 if rising else 0.0
        for _ in range(_STEPS):
            excess, slope = self._excess(risk, logs, bets)
            if excess < 0.0 or slope == 0.0:
                break
            following = min(1.0, max(0.0, risk - excess / slope))
            if (following >= risk) if rising else (following <= risk):
                break
            risk = following
        return risk

    def _excess(self, risk: float, logs: FloatArray, bets: FloatArray) -> tuple[float, float]:
        """(log of the mean of M over `bets`, minus its limit, and the derivative of it) at m = `risk`."""
        each = logs - self._n * np.log1p(risk * bets)
        largest = float(each.max())
        shares = np.exp(each - largest)
        total = float(shares.sum())
        slope = -self._n * float(shares @ (bets / (1.0 + risk * bets))) / total
        return largest + math.log(total / len(bets)) - self._limit, slope


def risk_interval(
    wrong: BoolArray,
    *,
    audited: BoolArray | None = None,
    probability: FloatArray | None = None,
    share: float = 1.0,
    delta: float = 0.05,
) -> tuple[float, float]:
    """(low, high) of the mean risk of n answered images, with confidence 1 - delta at every n at once.

    `wrong`, `audited`, `probability`: [n], as in `e_detector`. Probabilities may lie between `share` times
    `audits.UNIFORM_PART`, the least weight of `audit_weights`, and 1. Raises ValueError.
    """
    found, chance = found_errors(wrong, audited, probability, share)
    if found.ndim != 1:
        raise ValueError(f"wrong has the shape {found.shape}; one value per answered image is needed")
    least = share if probability is None else share * UNIFORM_PART
    state = RiskInterval(share=share, least_probability=least, delta=delta)
    state.add(len(found), chance[found])
    return state.interval
