"""Mixture SPRT: a comparison of two arms that may be read after every unit."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import FloatArray

_FEWEST: Final = 5
"""Successes and failures of each arm below which nothing is concluded"""
_LARGEST_EXPONENT: Final = 700.0


def mixture_sprt(successes: ArrayLike, units: ArrayLike, *, spread: float = 0.05) -> FloatArray:
    """Evidence against equal success rates of two arms, float64 [...]; reject at 1 / level, at any look.

    `successes`, `units`: counts [..., 2] of the arms at each look. `spread`: standard deviation, in (0, 1],
    of the differences that the test is tuned to. The normal mixture of Johari, Pekelis and Walsh ("Always
    valid inference", 2015, eq. 11),

        sqrt(V / (V + spread^2)) exp(spread^2 d^2 / (2 V (V + spread^2)))

    with d the difference of the rates and V its variance, estimated as if the arms were equal. It holds for
    large counts: before both arms have 5 successes and 5 failures, and where an arm is empty, it is 1. Raises
    ValueError.
    """
    wins, trials = np.asarray(successes, dtype=np.float64), np.asarray(units, dtype=np.float64)
    if wins.shape != trials.shape or wins.shape[-1:] != (2,):
        raise ValueError(f"the shapes are {wins.shape} and {trials.shape}; both must be [..., 2]")
    if not ((wins >= 0.0) & (wins <= trials) & np.isfinite(trials)).all():
        raise ValueError("successes must lie between 0 and the units of their arm")
    if not 0.0 < spread <= 1.0:
        raise ValueError(f"spread is {spread!r}; it must lie in (0, 1]")
    enough = np.asarray(np.minimum(wins, trials - wins).min(axis=-1) >= _FEWEST)
    safe = np.where(enough[..., None], trials, 1.0)
    rates = wins / safe
    pooled = np.where(enough, wins.sum(axis=-1) / safe.sum(axis=-1), 0.5)
    variance = pooled * (1.0 - pooled) * (1.0 / safe).sum(axis=-1)
    difference = rates[..., 1] - rates[..., 0]
    wider = variance + spread**2
    log_value = 0.5 * np.log(variance / wider) + 0.5 * (spread * difference) ** 2 / (variance * wider)
    return np.where(enough, np.exp(np.minimum(log_value, _LARGEST_EXPONENT)), 1.0)
