"""Agreement of a shadow with the control: how often both decide one request alike, whatever its label is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from calibration.experiments.intervals import mixture_radius, spread_of
from calibration.scores import IntArray

LEVEL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Alike:
    """Requests that the control and a shadow have both decided, one row per unit. All [n].

    Raises ValueError for counts that do not fit.
    """

    requests: IntArray
    same: IntArray
    """Those with the same answer, or with an abstention of both"""
    answered: IntArray
    """Those that the shadow would have answered"""
    control_answered: IntArray

    def __post_init__(self) -> None:
        for field in fields(self):
            counts = getattr(self, field.name)
            if counts.shape != self.requests.shape or ((counts < 0) | (counts > self.requests)).any():
                raise ValueError(f"{field.name} must hold a part of the requests of each unit")


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the counts say; the shares are None without a request."""

    units: int
    requests: int
    share: float | None = None
    """Of the requests that both decide alike"""
    low: float | None = None
    """Ends of an interval of that share which is valid at every look, with the unit as the cluster"""
    high: float | None = None
    answered: float | None = None
    """Share that the shadow would have answered"""
    control_answered: float | None = None


def agreement(alike: Alike, level: float = LEVEL) -> Agreement:
    """The agreement over all units.

    The interval is the asymptotic confidence sequence of `mixture_radius` around the share, with the
    variance of a ratio over units and one more unit that disagrees. Raises ValueError.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must lie strictly between 0 and 1")
    number, units = int(alike.requests.sum()), int(np.count_nonzero(alike.requests))
    if not number:
        return Agreement(0, 0)
    share = float(alike.same.sum()) / number
    residual = alike.same - share * alike.requests
    variance = float(residual @ residual) / number**2 + 1.0 / units**2
    radius = mixture_radius(variance, spread_of(share * (1.0 - share) + 1.0 / units), level)
    return Agreement(
        units,
        number,
        share,
        max(0.0, share - radius),
        min(1.0, share + radius),
        float(alike.answered.sum()) / number,
        float(alike.control_answered.sum()) / number,
    )
