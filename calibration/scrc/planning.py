"""What SCRC-T must fix before it sees the calibration split, planned on the selection split."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import RiskTarget
from calibration.prediction_sets import allowed_losses
from calibration.scrc.policy import SET_THRESHOLD_LIMIT, critical_of, read_data
from calibration.scrc.transductive import acceptance_threshold

_SMALLEST_PERCENT = 5


def plan_answer_share(
    confidence: ArrayLike,
    probabilities: ArrayLike,
    labels: ArrayLike,
    n_calibration: int,
    target: RiskTarget,
    acceptance: float | None = None,
    class_conditional: bool = False,
    set_threshold_limit: float = SET_THRESHOLD_LIMIT,
) -> float:
    """The `answer_share` to fit SCRC-T with, from the *selection* split; in [0.05, 0.99].

    A larger share leaves room for more errors, hence for more sets of one label. The largest share is taken
    that the policy will exceed on a calibration split of `n_calibration` units, unlucky by a standard
    error in the errors it meets and in the sets it counts. A plan missed only makes the fit infeasible,
    never wrong. Other parameters as for `ScrcT.fit`.
    """
    data = read_data(confidence, probabilities, labels, None, "group", 0, None)
    critical = critical_of("answers", data)
    classes = data.classes(class_conditional)
    for percent in range(99, _SMALLEST_PERCENT, -1):
        share = percent / 100
        xi = min(1.0, target.min_coverage / share) if acceptance is None else acceptance
        _, accepted, _ = acceptance_threshold(data.confidence, xi)
        members = [accepted & c for c in classes]
        sizes = [int(m.sum()) for m in members]
        planned_sizes = [size * n_calibration // max(len(data), 1) for size in sizes]
        rates = [
            _unlucky(allowed_losses(target.alpha * share, planned), planned, size)
            for planned, size in zip(planned_sizes, sizes, strict=True)
        ]
        if not all(rate >= 0.0 for rate in rates):
            continue
        cut = min(
            float(np.partition(critical[m], int(rate * size))[int(rate * size)])
            for m, rate, size in zip(members, rates, sizes, strict=True)
        )
        single = data.is_single(min(cut, set_threshold_limit))
        if all(
            _unlucky(float(single[m].mean()) * planned, planned, size) >= share
            for m, planned, size in zip(members, planned_sizes, sizes, strict=True)
        ):
            return share
    return _SMALLEST_PERCENT / 100


def _unlucky(count: float, planned: int, observed: int) -> float:
    """The rate count / planned, less one standard error of its difference between two such samples.

    Negative where there is nothing to count. A rate of exactly 0 or 1 is not taken at its word: its spread
    is that of one half more or less (as in Agresti and Coull's interval).
    """
    if count < 0 or planned == 0 or observed == 0:
        return -1.0
    rate = count / planned
    shrunk = (count + 0.5) / (planned + 1.0)
    spread = math.sqrt(shrunk * (1.0 - shrunk) * (1.0 / planned + 1.0 / observed))
    return max(0.0, rate - spread)
