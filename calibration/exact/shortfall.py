"""Why nothing could be certified, and what the same test is likely to prove on a fresh split.

A hint must come true for a reader who labels what it says. Counts of a failed test are no basis for it: the
failure selects draws with more errors than usual, and a search over many starts finds a risk that the test
itself does not prove. So an error curve is fitted to all calibration units, its coefficients are drawn from
their posterior, and the chance that the test passes its first step on a fresh split is computed for each.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import special

from calibration.bounds import fewest_answered
from calibration.certificate import RiskTarget
from calibration.error_curve import ErrorCurve
from calibration.exact.steps import start_of
from calibration.scores import BoolArray, FloatArray, IntArray

LARGEST_RISK = 0.3
ROUND_RISKS = tuple(
    risk
    for power in range(-4, 0)
    for factor in (1.0, 1.5, 2.0, 3.0, 5.0, 7.5)
    if (risk := round(factor * 10.0**power, 6)) <= LARGEST_RISK
)
"""Risks that a hint may name; a promise of more wrong answers than the largest is worth nothing"""

LIKELY = 0.8
"""Chance from which a hint recommends a target or a number of labels"""

MOST_LABELS = 100
"""Largest fresh split that a hint recommends, over the present one"""

_DRAWS = 200
_POINTS = 400


def describe_shortfall(
    confidence: FloatArray,
    wrong: BoolArray,
    reachable: int,
    answered: IntArray,
    errors: IntArray,
    target: RiskTarget,
    unit: str,
) -> str:
    """One sentence for an infeasible test, given the counts [T] of its steps (T = 0: none possible).

    confidence and wrong [n] are of the calibration units, `reachable` of which the loosest step would
    answer; unit is "image" or "group".
    """
    n, units = len(confidence), f"{unit}s"
    floor, floor_with_one = (int(m) for m in fewest_answered([0, 1], target.alpha, target.delta))
    start = int(answered[0]) if len(answered) else reachable
    outlook = Outlook.of(confidence, wrong) if n else None
    if start < floor:
        needs = (
            f"a risk of {target.alpha:g} at {1 - target.delta:g} confidence needs at least {floor} answered "
            f"calibration {units} without an error ({floor_with_one} with one), and {start} of {n} can be "
            f"answered: at least {floor - start} more labelled {units} are needed"
        )
        return needs if outlook is None else f"{needs}; {outlook.sentence(target, units)}"
    seen = f"{int(errors[0])} of the {start} calibration {units} answered first are wrong"
    return seen if outlook is None else f"{seen}; {outlook.sentence(target, units)}"


class Outlook:
    """Chances of a certificate on fresh splits from the same source, with the same model and score."""

    def __init__(self, n: int, coefficients: FloatArray) -> None:
        self.n = n
        self.coefficients = coefficients
        """[draws, 2]"""

    @classmethod
    def of(cls, confidence: FloatArray, wrong: BoolArray) -> Outlook:
        """From the confidence and errors [n >= 1] of the units that were tested."""
        return cls(len(confidence), ErrorCurve.fit(confidence, wrong).draw(_DRAWS, seed=0))

    def chance(self, units: int, target: RiskTarget) -> float:
        """Probability that a fresh split of so many units certifies `target`: that its first step passes."""
        start = start_of(units, target)
        if start > units:
            return 0.0
        allowed = int(start == int(fewest_answered(1, target.alpha, target.delta)))
        points = min(start, _POINTS)
        depth = (np.arange(points) + 0.5) / points * start / units
        scale = special.ndtri(1.0 - depth)
        logits = self.coefficients[:, :1] + self.coefficients[:, 1:] * scale
        # A rate of exactly 1 has no odds.
        rates = np.minimum(special.expit(logits), 1.0 - 1e-9)
        none = np.exp(np.log1p(-rates).mean(axis=1) * start)
        one = none * (rates / (1.0 - rates)).mean(axis=1) * start
        return float((none + allowed * one).mean())

    def labels(self, target: RiskTarget) -> int | None:
        """Size, to two digits, of the smallest fresh split with a likely certificate; None without one."""
        size = max(self.n, int(fewest_answered(0, target.alpha, target.delta)))
        while size <= MOST_LABELS * max(self.n, 1):
            size = _two_digits(size)
            if self.chance(size, target) >= LIKELY:
                return size
            size = math.ceil(1.1 * size)
        return None

    def risk(self, target: RiskTarget) -> float | None:
        """Smallest round risk above the target that is likely on a fresh split of the present size."""
        for alpha in ROUND_RISKS:
            at = RiskTarget(alpha, target.delta, target.min_coverage)
            if alpha > target.alpha and self.chance(self.n, at) >= LIKELY:
                return alpha
        return None

    def sentence(self, target: RiskTarget, units: str) -> str:
        """Ways out with their chances: more labels, or a larger risk."""
        labels, alpha = self.labels(target), self.risk(target)
        if labels is None:
            at_most = _percent(self.chance(MOST_LABELS * self.n, target))
            first = (
                f"more labels will hardly help (a fresh split of {MOST_LABELS} times as many {units} would "
                f"be certified in about {at_most}): a better classifier or confidence score is needed"
            )
        else:
            more = max(labels - self.n, 0)
            beside = f", {more} more labelled {units} than here," if more else ""
            first = (
                f"a fresh split of {labels} {units}{beside} would be certified in about "
                f"{_percent(self.chance(labels, target))}"
            )
        if alpha is None:
            return (
                f"{first}; no risk up to {LARGEST_RISK:g} is likely to be certified on a fresh split of "
                f"{self.n}"
            )
        at = RiskTarget(alpha, target.delta, target.min_coverage)
        return (
            f"{first}; on a fresh split of {self.n} alpha = {alpha:g} would be certified in about "
            f"{_percent(self.chance(self.n, at))}"
        )


@dataclass(frozen=True, slots=True)
class Hint:
    """The ways out that a sentence of `Outlook` names, for whoever makes commands of them."""

    labels: int | None = None
    """Units of a fresh split"""
    labels_chance: float = 0.0
    alpha: float | None = None
    alpha_chance: float = 0.0

    @classmethod
    def read(cls, sentence: str) -> Self:
        """The hint in the `needed` of a certificate; empty if it names none."""
        labels = re.search(rf"a fresh split of (\d+) (?:image|group)s{_HINTED}", sentence)
        alpha = re.search(rf"alpha = (\S+){_HINTED}", sentence)
        return cls(
            labels=None if labels is None else int(labels[1]),
            labels_chance=0.0 if labels is None else float(labels[2]) / 100,
            alpha=None if alpha is None else float(alpha[1]),
            alpha_chance=0.0 if alpha is None else float(alpha[2]) / 100,
        )


_HINTED = r"[^;]*?would be certified in about (\d+) %"


def _two_digits(value: int) -> int:
    """The value rounded up to two significant digits."""
    step = 10 ** max(len(str(value)) - 2, 0)
    return int(-(-value // step) * step)


def _percent(chance: float) -> str:
    return f"{100 * chance:.0f} %"
