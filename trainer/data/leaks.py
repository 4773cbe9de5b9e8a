"""Metadata columns that predict the label, by their value or by their presence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.scores import BoolArray, FloatArray, IntArray
from trainer.data.annotate import is_present
from trainer.data.images import UNLABELLED, Column, ImageSource, row_units
from trainer.data.labels import numbers_or_texts

LEAST_INFORMEDNESS = 0.5
"""Informedness from which a column is reported."""
LEVELS = 64
"""Distinct texts up to which a column is checked by value; with more it identifies images."""
BINS = 16
"""Quantile bins of a numeric column."""
FEWEST = 20
"""Fewest labelled images, and fewest present or missing values, for a check."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One column that predicts the label by itself."""

    column: str
    by: Literal["value", "missing"]
    informedness: float
    """0: no information; 1: predicts every label (see `informedness`)"""
    detail: str
    refused: bool = False
    """Whether the column is refused to every model in any case"""


def find_leaks(source: ImageSource) -> list[Leak]:
    """Columns that predict the label by their value or by a missing value; the worst first.

    The group column is not checked: a group usually has one label, and splits keep it whole.
    """
    known = source.labels != UNLABELLED
    labels = source.labels[known]
    units = row_units(source)[known]
    if len(np.unique(labels)) < 2 or len(labels) < FEWEST:
        return []
    leaks = []
    for name, refused in source.refused.items():
        leaks += _missing_leak(name, refused.present[known], labels, units, source.class_names, refused=True)
    for name, column in source.metadata.items():
        if name == source.group_column:
            continue
        column = numbers_or_texts(column)
        present = is_present(column[known])
        leaks += _missing_leak(name, present, labels, units, source.class_names)
        levels = value_levels(column[known])
        if levels is not None:
            strength = informedness(levels, labels, units, len(source.class_names))
            if strength >= LEAST_INFORMEDNESS:
                leaks.append(
                    Leak(name, "value", strength, _best_level(column[known], levels, labels, source))
                )
    return sorted(
        (leak for leak in leaks if leak.informedness >= LEAST_INFORMEDNESS),
        key=lambda leak: -leak.informedness,
    )


def informedness(levels: IntArray, labels: IntArray, units: IntArray, classes: int) -> float:
    """Performance of the best rule from levels to labels at equal class frequencies: 0 chance, 1 perfect.

    The rule takes the class k with the largest P(level | k). It is fitted on one half of the units (groups)
    and measured on the other, both ways, so that chance scores 0. For two classes this is Youden's J.
    Classes that are missing in a half are ignored. `levels`, `labels`, `units`: [n].
    """
    half = np.random.default_rng(0).permutation(int(units.max()) + 1)[units] % 2
    table = np.zeros((2, int(levels.max()) + 1, classes))
    np.add.at(table, (half, levels, labels), 1.0)
    held = (table.sum(axis=1) > 0).all(axis=0)
    if held.sum() < 2:
        return 0.0
    shares: FloatArray = table[:, :, held] / table[:, :, held].sum(axis=1, keepdims=True)
    best = shares == shares.max(axis=2, keepdims=True)
    credit = best / best.sum(axis=2, keepdims=True)
    accuracy = float((shares * credit[::-1]).sum(axis=1).mean())
    return float((accuracy * held.sum() - 1.0) / (held.sum() - 1.0))


def value_levels(column: Column) -> IntArray | None:
    """A column as small whole numbers [n]: distinct texts, few distinct numbers, or quantile bins; a missing
    value is a level of its own. None if the values identify images."""
    present = is_present(column)
    values, index = np.unique(column[present], return_inverse=True)
    if len(values) < 2 or (column.dtype.kind == "U" and len(values) > LEVELS):
        return None
    if len(values) > LEVELS:
        numbers = column[present].astype(np.float64)
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
        index = np.searchsorted(edges, numbers, side="right")
    levels = np.full(len(column), int(index.max()) + 1, dtype=np.int64)
    levels[present] = index.reshape(-1)
    return levels


def _missing_leak(
    name: str,
    present: BoolArray,
    labels: IntArray,
    units: IntArray,
    class_names: tuple[str, ...],
    *,
    refused: bool = False,
) -> list[Leak]:
    if min(int(present.sum()), int((~present).sum())) < FEWEST:
        return []
    strength = informedness(present.astype(np.int64), labels, units, len(class_names))
    rates = ", ".join(
        f"{100 * present[labels == k].mean():.0f} % of {class_name}"
        for k, class_name in enumerate(class_names)
        if (labels == k).any()
    )
    return [Leak(name, "missing", strength, f"present for {rates}", refused)]


def _best_level(column: Column, levels: IntArray, labels: IntArray, source: ImageSource) -> str:
    """The most informative value: its class shares differ most, weighted by its frequency."""
    base = np.bincount(labels, minlength=len(source.class_names)) / len(labels)

    def says(level: int) -> float:
        held = labels[levels == level]
        shares = np.bincount(held, minlength=len(base)) / len(held)
        return float(np.abs(shares - base).sum() * np.sqrt(len(held)))

    inside = levels == max(np.unique(levels).tolist(), key=says)
    counts = np.bincount(labels[inside], minlength=len(base))
    top = int(counts.argmax())
    values = column[inside & is_present(column)]
    shown = _range(values) if len(values) else "missing"
    share = 100 * counts[top] / counts.sum()
    return f"where it is {shown}, {share:.0f} % are {source.class_names[top]} ({counts.sum():,} images)"


def _range(values: Column) -> str:
    found = np.unique(values)
    return str(found[0]) if len(found) == 1 else f"{found[0]:.4g} to {found[-1]:.4g}"
