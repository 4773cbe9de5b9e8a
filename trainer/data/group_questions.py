"""Columns whose values repeat: perhaps their images belong together, and nobody has said so.

A certificate counts independent images. Photographs of one owner, drive or building are not independent, and
nothing in a table tells an owner from a kind of weather. So every such column is a question with its figures.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from calibration.scores import BoolArray, IntArray
from trainer.data.annotate import is_present
from trainer.data.images import UNLABELLED, Column
from trainer.data.labels import as_text, numbers_or_texts
from trainer.data.leaks import LEVELS
from trainer.data.splits import SPLIT_NAMES

GROUP_WORDS = (
    *("track", "seq", "sequence", "vid", "video", "clip", "burst", "group", "scene", "session"),
    *("patient", "subject", "drive", "trip", "route", "folder"),
)
"""Last parts of column names that usually name a series, with or without "id" behind them; compared without
case and separators."""

MOST_CELLS = 10**7
"""Values times classes up to which matched pairs are looked for"""
OF_THE_FILE = ("width", "height")
"""Names of columns that describe the file of an image"""
NO_COLUMNS: Mapping[str, Column] = MappingProxyType({})

FEWEST_VALUES = len(SPLIT_NAMES)
"""Fewest values of a column that could be groups: each split needs one."""
REPEATED = 0.1
"""Share of the images whose value another image has too, from which a column repeats."""
COUNTING = 0.5
"""Share of rows that are one more than the row before, from which a column counts and names nothing."""
PURE = 0.999
"""Share of the images with the most frequent label of their value, from which the label is determined."""
MATCHED = 0.2
"""Share of the values that hold each class equally often, beyond that of shuffled labels, from which they are
matched pairs."""


@dataclass(frozen=True, slots=True)
class GroupQuestion:
    """A column whose values repeat, and how often."""

    column: str
    values: int
    smallest: int
    """Images of one value"""
    median: float
    largest: int
    matched: bool = False
    """Most values hold as many images of each class, as pairs of before and after do"""

    @property
    def figures(self) -> str:
        """`400 values, 5 images each`, or `305 values, 1 to 12 images each, median 4`."""
        if self.smallest == self.largest:
            return f"{self.values:,} values, {self.largest:,} images each"
        return (
            f"{self.values:,} values, {self.smallest:,} to {self.largest:,} images each, median "
            f"{self.median:g}"
        )

    @property
    def shown(self) -> str:
        """The name of the column on one line."""
        return self.column if self.column.isprintable() else repr(self.column)

    @property
    def option(self) -> str:
        """The answer yes, as it is typed."""
        return f"--group {shlex.quote(self.column)}"

    def sentence(self) -> str:
        """The question with its figures."""
        return (
            f"{self.shown}: {self.figures}; if images of one {self.shown} belong together, use {self.option}"
        )

    def doubt(self) -> str:
        """What a certificate says as long as the question has no answer."""
        return (
            f"It counts every image as independent; nobody has said whether images of one {self.shown} "
            f"({self.figures}) belong together."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "column": self.column,
            "values": self.values,
            "smallest": self.smallest,
            "median": self.median,
            "largest": self.largest,
            "matched": self.matched,
            "option": self.option,
        }


def pairs_sentence(questions: Sequence[GroupQuestion]) -> str | None:
    """What matched values mean; None if there are none."""
    matched = [question.shown for question in questions if question.matched]
    if not matched:
        return None
    return (
        f"most values of {' and '.join(matched)} hold each class equally often, as pairs of before and after "
        "do: what else differs within such a pair (date, light, camera) is mixed with the label"
    )


def group_questions(
    columns: Mapping[str, Column], labels: IntArray, by_name: Mapping[str, Column] = NO_COLUMNS
) -> tuple[GroupQuestion, ...]:
    """Every text or whole-number column whose values repeat; the likeliest groups first.

    No questions are constant and unique columns, those with fewer values than there are splits, counters such
    as the number of a frame, and columns that determine the label, which are leaks (`trainer.data.leaks`)
    unless they bear the name of a group. Of columns that part the images alike the first is asked about.
    `by_name`: columns that the file names give, whose own names say nothing. `labels`: [n], `UNLABELLED`
    without one.
    """
    found: dict[bytes, tuple[int, GroupQuestion]] = {}
    asked = [(name, column, names_a_group(name)) for name, column in columns.items()]
    asked += [(name, column, False) for name, column in by_name.items() if name not in columns]
    for name, column, is_group in asked:
        question = _question(name, column, labels, is_group=is_group)
        if question is not None:
            found.setdefault(_partition(column), (0 if is_group else _likelihood(column), question))
    ranked = sorted(found.values(), key=lambda pair: (pair[0], -pair[1].values))
    return tuple(question for _, question in ranked)


def _partition(column: Column) -> bytes:
    """The same for two columns exactly if they have equal values on the same rows."""
    first, codes = np.unique(column, return_index=True, return_inverse=True)[1:]
    return np.asarray(first[codes.reshape(-1)], dtype=np.int64).tobytes()


def names_a_group(name: str) -> bool:
    """Whether a column of this name usually holds a group."""
    word = re.sub(r"[^a-z]", "", name.rsplit(".", 1)[-1].lower())
    return word in GROUP_WORDS or word.removesuffix("id") in GROUP_WORDS


def fits_neighbours(column: Column) -> bool:
    """Whether the values stand on consecutive rows, as with series in a file that was written in order."""
    texts = as_text(column)
    changes = int((texts[1:] != texts[:-1]).sum())
    return bool(changes <= 2 * len(np.unique(texts)))


def _question(name: str, column: Column, labels: IntArray, *, is_group: bool) -> GroupQuestion | None:
    present = is_present(column)
    if name.lower() in OF_THE_FILE or not _names(column, present):
        return None
    values, codes, sizes = np.unique(column[present], return_inverse=True, return_counts=True)
    if len(values) < FEWEST_VALUES or sizes[sizes > 1].sum() < REPEATED * len(codes):
        return None
    if column.dtype.kind != "U" and _counts(column):
        return None
    codes, held = np.asarray(codes.reshape(-1)), labels[present]
    if not is_group and _determines(codes, held):
        return None
    return GroupQuestion(
        column=name,
        values=len(values),
        smallest=int(sizes.min()),
        median=float(np.median(sizes)),
        largest=int(sizes.max()),
        matched=_is_matched(codes, held),
    )


def _names(column: Column, present: BoolArray) -> bool:
    """Whether the values can be names: texts that are no decimal fractions, or whole numbers."""
    numbers = numbers_or_texts(column)
    if numbers.dtype.kind != "f":
        return True
    held = np.asarray(numbers[present], dtype=np.float64)
    return bool((np.isfinite(held) & (held == np.floor(held))).all())


def _counts(column: Column) -> bool:
    numbers = np.asarray(column, dtype=np.float64)
    return len(numbers) > 1 and float((np.diff(numbers) == 1.0).mean()) >= COUNTING


def _classes(codes: IntArray, labels: IntArray) -> IntArray:
    """Images of each class by value, [values, K]; [values, 0] without labels."""
    known = labels != UNLABELLED
    counts = np.zeros((int(codes.max()) + 1, int(labels.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(counts, (codes[known], labels[known]), 1)
    return counts[:, counts.any(axis=0)]


def _determines(codes: IntArray, labels: IntArray) -> bool:
    """Whether the value tells the label, by few enough values that this is no accident of single groups."""
    classes = len(np.unique(labels[labels != UNLABELLED]))
    if classes < 2 or int(codes.max()) >= max(LEVELS, 2 * classes):
        return False
    counts = _classes(codes, labels)
    return bool(counts.max(axis=1).sum() >= PURE * counts.sum())


def _is_matched(codes: IntArray, labels: IntArray) -> bool:
    """Whether the values hold each class equally often, far more than shuffled labels do."""
    if (int(codes.max()) + 1) * (int(labels.max()) + 1) > MOST_CELLS:
        return False
    shuffled = np.random.default_rng(0).permutation(labels)
    return _matched(codes, labels) > _matched(codes, shuffled) + MATCHED


def _matched(codes: IntArray, labels: IntArray) -> float:
    """Share of the values of several images that hold each class equally often."""
    counts = _classes(codes, labels)
    held = counts[counts.sum(axis=1) > 1]
    if counts.shape[1] < 2 or len(held) < LEVELS:
        return 0.0
    return float((held.min(axis=1) == held.max(axis=1)).mean())


def _likelihood(column: Column) -> int:
    """Rank, from 1, of how much a column looks like a group: texts before numbers, values in runs first."""
    first = 1 if column.dtype.kind == "U" else 3
    return first if fits_neighbours(column) else first + 1
