"""Labels of an experiment: do both arms get as many, and as soon?

If more labels of one arm are missing, or are younger, a difference of accuracy may be one of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import FEWEST_UNITS, Comparison, compare
from calibration.experiments.metrics import Counts, share

LEVEL: Final = 0.01
"""Share of experiments with equal labels of which it is ever said that they are not"""


@dataclass(frozen=True, slots=True)
class LabelComparison:
    """Labels of one challenger against those of the control."""

    arm: str
    comparable: bool | None
    """None: there are too few labels to say"""
    coverage: Comparison
    """Of the share of the requests whose label is known"""
    lateness: Comparison
    """Of the share of the labels that are later than half of all labels"""

    def sentence(self) -> str:
        """In words, with the figures."""
        if self.comparable is None:
            return (
                f"Labels of {self.arm}: too few to say whether they are comparable ({self.lateness.reason})."
            )
        known = f"{_percent(self.coverage.control)} of the control's requests have a label, and "
        known += f"{_percent(self.coverage.challenger)} of {self.arm}'s; "
        late = f"late are {_percent(self.lateness.control)} and {_percent(self.lateness.challenger)} of them"
        verdict = "comparable" if self.comparable else "not comparable"
        return f"Labels of {self.arm} are {verdict}: {known}{late}."


def labels_comparable(table: ArmTable, arm: str | None = None, *, level: float = LEVEL) -> LabelComparison:
    """Whether label coverage and label lag of a challenger, by default the first, agree with the control's.

    Both comparisons may be read at every step, each at half of `level`. Raises ValueError.
    """
    coverage = compare(table, _COVERAGE, arm=arm, level=level / 2.0)
    lateness = compare(table, _LATENESS, arm=arm, level=level / 2.0)
    found = (coverage.conclusion, lateness.conclusion)
    comparable: bool | None = not {"better", "worse"} & set(found)
    if min(lateness.units) < FEWEST_UNITS:
        comparable = None if comparable else False
    return LabelComparison(coverage.arm, comparable, coverage, lateness)


def _coverage(table: ArmTable) -> Counts:
    labelled = table.labelled.astype(np.float64)
    requests = table.requests.astype(np.float64)
    return np.stack([labelled, requests - labelled], axis=1), requests


def _lateness(table: ArmTable) -> Counts:
    labelled = table.labelled.astype(np.float64)
    lag = np.where(np.isnan(table.label_lag), 0.0, table.label_lag)
    known = labelled > 0.0
    middle = float(np.median(lag[known])) if known.any() else 0.0
    late = np.where(lag > middle, labelled, 0.0)
    return np.stack([late, labelled - late], axis=1), labelled


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100.0 * value:.1f} %"


_COVERAGE: Final = share("label coverage", "requests", _coverage)
_LATENESS: Final = share("label lateness", "labels", _lateness, higher_is_better=False, margin=0.05)
