"""Order of thresholds, planned on the selection split before any calibration label is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calibration.bounds import most_errors
from calibration.certificate import RiskTarget
from calibration.error_curve import fit_error_curve
from calibration.inputs import read_scores
from calibration.scores import FloatArray, IntArray

GRID_POINTS = 1000
"""Largest number of thresholds; a coarse grid costs power (40 points: .01 of coverage), a fine one nothing"""


def plan_thresholds(
    confidence: ArrayLike,
    errors: ArrayLike,
    n_calibration: int,
    target: RiskTarget,
    *,
    first_answered: int | None = None,
) -> FloatArray:
    """Thresholds [T], strict to loose, for `certify`, from confidence [n] and errors [n] of val_select.

    They are quantiles of the selection confidences (so the plan follows any increasing transform of
    the score), at most `GRID_POINTS`: half of them over all coverages, half over those at which a
    fitted error curve plans a risk between alpha / 2 and 2 alpha, the likely end of a sequence.
    The first threshold is the strictest, so that `certify` starts at the rank that it chooses itself;
    `first_answered` starts at a planned number of answers among `n_calibration` independent units
    instead (about 500 for `certify(..., method="grid")`).
    """
    scores, wrong = read_scores(confidence, errors)
    n = len(scores)
    if n == 0:
        raise ValueError("the selection split is empty; thresholds are planned on its confidences")
    if n_calibration < 0:
        raise ValueError(f"n_calibration is {n_calibration}; it must not be negative")
    share = 0.0 if first_answered is None else min(1.0, first_answered / max(n_calibration, 1))
    order = np.argsort(-scores, kind="stable")
    risk = np.cumsum(fit_error_curve(scores, wrong)[order]) / np.arange(1, n + 1)
    likely = np.flatnonzero((risk >= target.alpha / 2.0) & (risk <= 2.0 * target.alpha)) + 1
    everywhere = np.linspace(share * n, n, GRID_POINTS // 2).astype(np.int64).clip(1, n)
    dense = (
        likely[np.linspace(0, len(likely) - 1, GRID_POINTS // 2).astype(np.int64)] if len(likely) else likely
    )
    ranks = np.unique(np.concatenate([everywhere, dense[dense >= everywhere[0]]]))
    return np.asarray(np.unique(scores[order[ranks - 1]])[::-1], dtype=np.float64)


def planned_coverage(
    answered: IntArray, errors: IntArray, n: int, n_calibration: int, target: RiskTarget
) -> float:
    """Share that a certificate on `n_calibration` units is expected to answer; a plan, not a promise.

    answered and errors [T] are the counts at the steps of a path on n selection images. The largest share
    at which the observed errors, scaled to the calibration split, are no more than the exact test allows.
    """
    scale = n_calibration / n
    allowed = most_errors(np.rint(answered * scale), target.alpha, target.delta)
    return float((answered[errors * scale <= allowed] / n).max(initial=0.0))
