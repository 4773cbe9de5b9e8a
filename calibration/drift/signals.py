"""Drift signals: what is known of an image without its label, as rows and as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Self

import numpy as np

from calibration.scores import FloatArray, IntArray

_DIGITS: Final = 5
"""Significant digits of a number"""


@dataclass(frozen=True, slots=True)
class SignalRow:
    """The signals of one image."""

    numbers: Mapping[str, float]
    """By name; NaN if unknown"""
    categories: Mapping[str, int]
    """By name: whether it was answered, its label, the last stage that was computed"""
    right: float
    """Probability that the most probable label is right, as the last stage states it; NaN if unknown"""
    embedding: Sequence[float] | None = None
    """Projection of the model's embedding; None for a model without one"""


@dataclass(frozen=True, slots=True)
class SignalSample:
    """The signals of n images, by columns."""

    numbers: Mapping[str, FloatArray]
    """Each [n]; NaN where unknown"""
    categories: Mapping[str, IntArray]
    """Each [n]"""
    right: FloatArray
    """[n], in [0, 1] or NaN"""
    embedding: FloatArray | None = None
    """[n, d]"""

    def __post_init__(self) -> None:
        n = len(self.right)
        for name, column in (*self.numbers.items(), *self.categories.items()):
            if column.shape != (n,):
                raise ValueError(f"signal {name!r} has the shape {column.shape}; {n} values are needed")
        if self.embedding is not None and (self.embedding.ndim != 2 or len(self.embedding) != n):
            raise ValueError(f"embedding has the shape {self.embedding.shape}; {n} rows are needed")

    def __len__(self) -> int:
        return len(self.right)

    @property
    def answered(self) -> IntArray:
        """[n], 1 where the image was answered."""
        return self.categories.get("answered", np.zeros(len(self), dtype=np.int64))

    @classmethod
    def of(cls, rows: Sequence[SignalRow]) -> Self:
        """The columns of rows; signals that not all rows have are left out.

        Numbers get five significant digits, as they are kept: equal values, such as the shape of a camera's
        images, must stay equal to those of a reference that was written to a file.
        """
        numbers = _common([row.numbers for row in rows])
        categories = _common([row.categories for row in rows])
        vectors = [row.embedding for row in rows if row.embedding is not None]
        whole = len(vectors) == len(rows) > 0 and len({len(vector) for vector in vectors}) == 1
        return cls(
            {name: _numbers(_rounded([row.numbers[name] for row in rows])) for name in numbers},
            {name: np.array([row.categories[name] for row in rows], np.int64) for name in categories},
            np.array([row.right for row in rows], np.float64),
            np.array(vectors, np.float64) if whole else None,
        )

    def take(self, rows: IntArray) -> Self:
        """The signals of some of the images."""
        return type(self)(
            {name: column[rows] for name, column in self.numbers.items()},
            {name: column[rows] for name, column in self.categories.items()},
            self.right[rows],
            None if self.embedding is None else self.embedding[rows],
        )

    def to_values(self) -> dict[str, Any]:
        """Plain JSON values with five significant digits; an unknown number is None."""
        return {
            "numbers": {name: _rounded(column.tolist()) for name, column in self.numbers.items()},
            "categories": {name: column.tolist() for name, column in self.categories.items()},
            "right": _rounded(self.right.tolist()),
            "embedding": None
            if self.embedding is None
            else [_rounded(row) for row in self.embedding.tolist()],
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_values`. Raises ValueError, KeyError or TypeError for other values."""
        vectors = values["embedding"]
        embedding = None if vectors is None else np.array([_numbers(row) for row in vectors], np.float64)
        return cls(
            {str(name): _numbers(column) for name, column in values["numbers"].items()},
            {str(name): _integers(column) for name, column in values["categories"].items()},
            _numbers(values["right"]),
            embedding,
        )


def _common(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names that all rows have, in the order of the first."""
    return [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if isfinite(value) else None for value in values]


def _numbers(values: Any) -> FloatArray:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _integers(values: Any) -> IntArray:
    if not all(type(value) is int for value in values):
        raise ValueError("a category holds values other than whole numbers")
    return np.array(values, dtype=np.int64)
