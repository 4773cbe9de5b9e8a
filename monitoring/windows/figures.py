"""Figures of one window from its counts, each with its 95 % interval and, if it is undefined, the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from calibration.metrics import confusion_mcc, mcc_interval, mean_of_shares, wilson_interval
from calibration.scores import IntArray

Cells = Mapping[tuple[int, int], int]
"""(predicted, label) -> count."""

NO_LABEL: Final = "no labelled prediction yet"
POSITIVE: Final = 1
"""The class of precision, recall and specificity where there are two."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; its interval is the widest possible one while the figure is undefined."""

    value: float | None
    """None if its denominator is zero; a Matthews correlation is 0 then."""
    low: float
    high: float
    """Ends of the 95 % interval."""
    reason: str | None
    """Why the denominator is zero; None if it is not."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of labelled predictions.

    Of two classes precision, recall and specificity are those of class 1. Of more classes each is the mean
    over the classes that have one, class by class against the rest.
    """

    accuracy: Figure
    mcc: Figure
    precision: Figure
    recall: Figure
    specificity: Figure

    @classmethod
    def of(cls, cells: Cells, classes: int = 2) -> ClassFigures:
        """`cells`: counts above 0. `classes`: number of classes that the bundle knows, at least 2."""
        # One bundle and the total hold the same windows, and most windows are read again before they change.
        return _class_figures(tuple(sorted(cells.items())), classes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: figure.to_dict() for name, figure in self.by_name().items()}

    def by_name(self) -> dict[str, Figure]:
        """Every figure."""
        return {
            "accuracy": self.accuracy,
            "mcc": self.mcc,
            "precision": self.precision,
            "recall": self.recall,
            "specificity": self.specificity,
        }


@lru_cache(maxsize=512)
def _class_figures(counts: tuple[tuple[tuple[int, int], int], ...], classes: int) -> ClassFigures:
    cells = dict(counts)
    matrix = _matrix(cells, classes)
    right, true, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    n = matrix.sum()
    of_others = n - true
    named = slice(POSITIVE, POSITIVE + 1) if len(matrix) == 2 else slice(None)
    class_1 = f" {POSITIVE}" if len(matrix) == 2 else " of any class"
    return ClassFigures(
        accuracy=share_figure(int(right.sum()), int(n), NO_LABEL),
        mcc=_mcc_figure(matrix, cells),
        precision=_mean_figure(
            right[named], predicted[named], f"no prediction in the window is{class_1}", cells
        ),
        recall=_mean_figure(right[named], true[named], f"no label in the window is{class_1}", cells),
        specificity=_mean_figure(
            (of_others - predicted + right)[named],
            of_others[named],
            f"every label in the window is{class_1}",
            cells,
        ),
    )


def share_figure(hits: int, n: int, reason: str) -> Figure:
    """A share with its Wilson interval; `reason` is why there is none if `n` is 0."""
    low, high = wilson_interval(hits, n)
    return Figure(hits / n, low, high, None) if n else Figure(None, low, high, reason)


def _matrix(cells: Cells, classes: int) -> IntArray:
    """Counts [K, K], row = label, column = prediction."""
    k = max(classes, 2, 1 + max((index for cell in cells for index in cell), default=0))
    matrix = np.zeros((k, k), dtype=np.int64)
    for (predicted, label), count in cells.items():
        matrix[label, predicted] = count
    return matrix


def _mcc_figure(matrix: IntArray, cells: Cells) -> Figure:
    low, high = mcc_interval(matrix)
    return Figure(confusion_mcc(matrix), low, high, _why_undefined(cells))


def _mean_figure(hits: IntArray, trials: IntArray, reason: str, cells: Cells) -> Figure:
    value, low, high = mean_of_shares(hits.tolist(), trials.tolist())
    if value is not None:
        return Figure(value, low, high, None)
    return Figure(None, low, high, reason if cells else NO_LABEL)


def _why_undefined(cells: Cells) -> str | None:
    """Why the Matthews correlation has a zero denominator; None if it has another one."""
    if not cells:
        return NO_LABEL
    predicted, labels = {p for p, _ in cells}, {y for _, y in cells}
    if len(labels) == 1:
        return f"every label in the window is {labels.pop()}"
    if len(predicted) == 1:
        return f"every prediction in the window is {predicted.pop()}"
    return None
