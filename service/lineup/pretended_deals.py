"""Deals of a pretended experiment, by the hash that deals in the service."""

from __future__ import annotations

import numpy as np

from calibration.experiments.self_test import Deal
from calibration.scores import IntArray
from monitoring.experiments.dealing import POINTS, point_of


def pretended_deals(units: int, share: float) -> Deal:
    """Deals of so many units, each with a salt of its own; the challenger gets `share` of them."""

    def deal(number: int) -> IntArray:
        points = [point_of("self-test", str(number), str(unit)) for unit in range(units)]
        return (np.array(points) < share * POINTS).astype(np.int64)

    return deal
