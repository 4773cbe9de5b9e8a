"""Why nothing could be certified, what is missing, and what could be certified instead."""

from __future__ import annotations

import math

import numpy as np

from calibration.bounds import binomial_p_value, fewest_answered
from calibration.certificate import RiskTarget
from calibration.scores import BoolArray, FloatArray, IntArray

_LADDER = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Risks that a person would promise."""

_STARTS = 8
"""Starts that a hint considers: where 0, 1, 2, ... errors are allowed."""

_MOST_LABELS = 10_000_000


def describe_shortfall(
    confidence: FloatArray,
    wrong: BoolArray,
    reachable: int,
    answered: IntArray,
    errors: IntArray,
    target: RiskTarget,
    unit: str,
) -> str:
    """One sentence for an infeasible walk, given the counts [T] of its steps (T = 0: none possible).

    confidence and wrong [n] are of the calibration units, `reachable` of which the loosest step would
    answer; unit is "image" or "group".
    """
    n, units = len(confidence), f"{unit}s"
    floor, floor_with_one = (int(m) for m in fewest_answered([0, 1], target.alpha, target.delta))
    start = int(answered[0]) if len(answered) else reachable
    if start < floor:
        first = (
            f"a risk of {target.alpha:g} at {1 - target.delta:g} confidence needs at least {floor} answered "
            f"calibration {units} without an error ({floor_with_one} with one), and {start} of {n} can be "
            f"answered: at least {floor - start} more labelled {units} are needed"
        )
    else:
        first = _failed_start(start, int(errors[0]), n, target, units)
    return f"{first}; {_instead(confidence, wrong, target)}"


def _failed_start(answered: int, errors: int, n: int, target: RiskTarget, units: str) -> str:
    seen = f"{errors} of the {answered} calibration {units} answered first are wrong"
    needed = labels_needed(errors / answered, answered / n, target)
    if needed is None:
        return (
            f"{seen}, a share that is not clearly below alpha = {target.alpha:g}: more labels will not help, "
            "a better classifier or confidence score is needed"
        )
    # A plug-in estimate; at least one more than there are, since these did not do.
    return f"{seen}; at this rate about {max(1, needed - n)} more labelled {units} are needed"


def labels_needed(risk: float, coverage: float, target: RiskTarget) -> int | None:
    """Calibration units with which a risk and coverage observed at one threshold would be certified.

    None where the risk is not below alpha, or more than ten million would be needed.
    """
    if risk >= target.alpha or coverage <= 0.0:
        return None
    low, high = 0, 64
    while not _would_pass(high, risk, target):
        low, high = high, 2 * high
        if high > _MOST_LABELS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _would_pass(middle, risk, target) else (middle, high)
    return math.ceil(high / coverage)


def _would_pass(answered: int, risk: float, target: RiskTarget) -> bool:
    errors = math.ceil(risk * answered)
    return errors < answered and float(binomial_p_value(errors, answered, target.alpha)) <= target.delta


def smallest_alpha(confidence: FloatArray, wrong: BoolArray, above: float, delta: float) -> float | None:
    """The smallest risk of a short list, larger than `above`, that a start of a walk proves on units [n].

    Found by looking at the labels, so it is a hint for the next target, not a promise.
    """
    n = len(confidence)
    mistakes = np.cumsum(wrong[np.argsort(-confidence, kind="stable")])
    allowed = np.arange(_STARTS)
    for alpha in (risk for risk in _LADDER if risk > above):
        starts = fewest_answered(allowed, alpha, delta)
        possible = starts <= n
        if (mistakes[starts[possible] - 1] <= allowed[possible]).any():
            return alpha
    return None


def _instead(confidence: FloatArray, wrong: BoolArray, target: RiskTarget) -> str:
    alpha = smallest_alpha(confidence, wrong, target.alpha, target.delta)
    if alpha is None:
        return "no other risk up to 0.5 could be certified on these labels"
    return f"the smallest risk that could be certified on these labels now is alpha = {alpha:g}"
