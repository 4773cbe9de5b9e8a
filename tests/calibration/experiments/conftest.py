"""Tables of experiments from single requests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes.experiment_requests import Requests

from calibration.experiments.arms import ArmTable


@pytest.fixture
def two_arms() -> Callable[..., ArmTable]:
    """`two_arms((right, of), (right, of))`: units of one request each, of a control and of a challenger,
    in any order."""

    def table(*arms: tuple[int, int]) -> ArmTable:
        arm = np.repeat([0, 1], [of for _, of in arms])
        right = np.concatenate([np.arange(of) < hits for hits, of in arms])
        order = np.random.default_rng(0).permutation(len(arm))
        return Requests(np.arange(len(arm)), arm[order], right[order]).table([[0.5, 0.5]])

    return table
