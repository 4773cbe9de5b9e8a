"""Answers that a promise is about: all together, each answer by itself, or each slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import EACH_ANSWER
from calibration.scores import BoolArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Values of a metadata column, in each of which a promise is to hold; known without the label."""

    values: ArrayLike
    """[n], of any type"""
    names: Sequence[str] | None = None
    """The values that must hold; None: all that occur"""
    column: str = "slice"
    """Name of the column in messages"""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerLabels:
    """Labels that a stage would give, for a promise about each of them."""

    labels: ArrayLike
    """[n], in 0..classes-1"""
    classes: int = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts in each of which the promise holds; an image is in at most one of them at a time."""

    names: tuple[str, ...]
    each: str | None
    """"answer", or the column whose values are the slices; None for one part of all answers together"""
    codes: IntArray | None
    """[n], the part of each image, -1 for none; None if the given answer decides"""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def title(self) -> str:
        """Suffix of the name of a method that names the parts; empty for all answers together."""
        if self.each is None:
            return ""
        return f", each {'answer' if self.codes is None else 'slice'} (intersection-union)"

    @classmethod
    def whole(cls, n: int) -> Self:
        """One promise about all answers together."""
        return cls(("all",), None, np.zeros(n, dtype=np.int64))

    @classmethod
    def of_answers(cls, names: Sequence[str]) -> Self:
        """Each answer 0, 1, ... by itself: of the images answered k, at most alpha are not k."""
        return cls(tuple(names), EACH_ANSWER, None)

    @classmethod
    def of_slices(cls, slices: Slices, n: int) -> Self:
        """Each value of a metadata column; ValueError if it does not have n rows, or no value must hold."""
        members, names = np.asarray(slices.values), slices.names
        if members.shape != (n,):
            raise ValueError(f"slices has shape {members.shape}; the scores need ({n},)")
        members = members.astype(np.str_)
        wanted = tuple(str(name) for name in (np.unique(members) if names is None else names))
        if not wanted:
            raise ValueError("there is no slice to certify: names is empty, or there are no images")
        codes = np.full(n, -1, dtype=np.int64)
        for code, name in enumerate(wanted):
            codes[members == name] = code
        return cls(wanted, slices.column, codes)

    def take(self, rows: IntArray) -> Self:
        """The parts of some of the images."""
        return self if self.codes is None else replace(self, codes=self.codes[rows])

    def of(self, answer: IntArray) -> IntArray:
        """Part [n] of each image, given the answer [n] that it gets or would get."""
        return answer if self.codes is None else self.codes

    def tally(self, part: IntArray, among: BoolArray | None = None) -> IntArray:
        """Number of images in each part, [P]; `part` [n] from `of`, counting those in `among` [n]."""
        counted = part if among is None else part[among]
        return np.asarray(np.bincount(counted[counted >= 0], minlength=len(self)), dtype=np.int64)
