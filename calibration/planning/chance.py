"""Planned chance that a step of a path passes the exact test, from the selection split alone."""

from __future__ import annotations

import numpy as np
from scipy import special

from calibration.bounds import most_errors
from calibration.certificate import RiskTarget
from calibration.scores import FloatArray

_NODES = 9
"""Number of equally likely counts of answers at which a chance is averaged"""


def spread_of_answers(coverage: FloatArray, n_selection: int, n_calibration: int) -> FloatArray:
    """Standard deviation [T] of the number of calibration units answered at steps of planned `coverage` [T].

    Both splits are random.
    """
    variance = n_calibration * coverage * (1.0 - coverage) * (1.0 + n_calibration / n_selection)
    return np.asarray(np.sqrt(variance))


def chance_to_pass(
    coverage: FloatArray, risk: FloatArray, n_selection: int, n_calibration: int, target: RiskTarget
) -> FloatArray:
    """Chance [T] that the exact test passes at steps of planned coverage [T] and risk [T].

    Averaged over the numbers of answers that `n_calibration` units may give there. A chance and no promise:
    it is as good as the planned risk.
    """
    nodes = special.ndtri((np.arange(_NODES) + 0.5) / _NODES)
    spread = spread_of_answers(coverage, n_selection, n_calibration)
    answered = coverage[:, None] * n_calibration + spread[:, None] * nodes
    answered = np.rint(answered).clip(0, n_calibration).astype(np.int64)
    allowed = most_errors(answered, target.alpha, target.delta)
    passed = special.bdtr(allowed.clip(0), answered.clip(1), risk[:, None])
    return np.asarray(np.where(allowed < 0, 0.0, passed).mean(axis=1), dtype=np.float64)
