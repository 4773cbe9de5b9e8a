"""Scores of labelled images by any classifier, in a parquet or CSV table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bundle.engines.outputs import ROUNDING
from calibration.scores import BoolArray, FloatArray, IntArray
from trainer.data.annotate import NO_GROUPS, alike_but_for_blanks
from trainer.data.arrow import to_columns
from trainer.data.file_names import name_columns
from trainer.data.group_questions import GroupQuestion, group_questions
from trainer.data.images import Column
from trainer.data.metadata_file import typed
from trainer.scoring.table_file import ScoreFileError, column_of, numbers, read_table, texts

ROW_NAMES = ("content", "path", "image_path", "file", "filename", "file_name", "image_id", "id")
"""Columns that identify the image of a row, the first of them that names every row differently"""
FILE_NAMES = ROW_NAMES[1:6]
"""Those that hold the name of a file"""
USUAL_SCORES = ("probability", "score", "prob")
"""Names under which a single column of P(label 1) is found if none is given."""
USUAL_SERIES = (*(f"{name}_" for name in USUAL_SCORES), "p", "p_", "logit_")
"""Beginnings of the names of one column per class, before its number"""

_DISTINCT, _DIGITS = 0.99, 12
"""Share of distinct rows, and digits of the middle row, from which scores identify a row"""


@dataclass(frozen=True, slots=True)
class ScoreFileColumns:
    """Columns to read; None: found by their usual names."""

    label: str = "label"
    scores: tuple[str, ...] = ()
    """One column of P(label 1), or K columns of probabilities or logits, one per class"""
    confidence: str | None = None
    """Column that ranks the images; None: the lead of the best class over the second"""
    group: str | None = None
    """A column, or one that the file names give (`name_columns`), or `NO_GROUPS`; None: not said"""

    @property
    def group_column(self) -> str | None:
        """None if every row stands alone, or if nothing is said."""
        return None if self.group == NO_GROUPS else self.group


@dataclass(frozen=True, slots=True)
class ScoredTable:
    """A table of scores as certificates read it; every array is [n].

    The labels identify the rows (`digest`) and have been checked for their form, so that a table with a
    faulty label costs no delta: that tells nothing of the scores. Only `errors` compares the two, and is to
    be read after the charge.
    """

    confidence: FloatArray
    labels: IntArray
    answer: IntArray
    """The predicted label"""
    groups: NDArray[np.str_] | None
    classes: int
    digest: str
    """sha256 of what is read of the rows, independent of their order and of other columns"""
    file_digest: str
    """sha256 of the file"""
    units: tuple[str, ...]
    """What identifies the rows without their labels"""
    table: pa.Table
    warnings: tuple[str, ...]
    """Warnings to show with the certificate"""
    doubt: str | None
    """Why the rows may not be independent (`Certificate.doubt`)"""

    @property
    def model_digest(self) -> str:
        """sha256 of answers and confidences, independent of the labels and of the order of the rows."""
        order = np.lexsort((self.confidence, self.answer))
        return _digest([self.answer[order], self.confidence[order]])

    @property
    def errors(self) -> BoolArray:
        """Whether the answer is wrong: what a certificate proves by, and a charge is paid for."""
        return np.asarray(self.answer != self.labels, dtype=np.bool_)


def read_scored(path: Path, columns: ScoreFileColumns) -> ScoredTable:
    """Read and check a .parquet or .csv file; `ScoreFileError` names the column at fault.

    Rows are sorted by their content, so that the frame that is drawn per group does not depend on the order
    of the file.
    """
    table = read_table(path)
    confidence, labels, answer, classes, read = _read_scores(table, columns, path)
    groups = None if columns.group_column is None else _groups(table, columns.group_column, path)
    questions = _questions(table, columns, path)
    # Adding 0 turns -0.0 into 0.0.
    keys = [*(read + 0.0).T, *(() if groups is None else (groups,))]
    order = np.lexsort(keys)
    return ScoredTable(
        confidence=confidence[order],
        labels=labels[order],
        answer=answer[order],
        groups=None if groups is None else groups[order],
        classes=classes,
        digest=_digest([key[order] for key in keys]),
        file_digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        units=_units(table, read[:, :-1] + 0.0, groups),
        table=table.take(order),
        warnings=(*_spellings(columns.group_column, groups), *_warnings(questions)),
        doubt=questions[0].doubt() if questions else None,
    )


def _digest(columns: Sequence[NDArray[Any]]) -> str:
    whole = hashlib.sha256()
    for column in columns:
        whole.update(f"{column.dtype.kind} {column.shape} ".encode())
        whole.update("\0".join(column).encode() if column.dtype.kind == "U" else column.tobytes())
    return whole.hexdigest()


def _units(table: pa.Table, scores: FloatArray, groups: NDArray[np.str_] | None) -> tuple[str, ...]:
    """What identifies the rows without their labels: their names, else their scores and groups.

    Numbers in sequence (0, 1, 2, ...) are no names, since every table has them. Scores of few digits, or
    scores that repeat, occur in other tables too, so that only all of them together identify the table.
    """
    n = table.num_rows
    columns = {name.lower(): name for name in table.column_names}
    for name in (columns[name] for name in ROW_NAMES if name in columns):
        column = table.column(name)
        if column.null_count == 0:
            values = texts(column)
            if len(np.unique(values)) == n and not _in_sequence(values):
                return tuple(values.tolist())
    names = groups.tolist() if groups is not None else [""] * n
    rows = ["\0".join((group, *map(repr, row))) for group, row in zip(names, scores.tolist(), strict=True)]
    digits = [sum(map(str.isdigit, row.partition("\0")[2])) for row in rows]
    if len(set(rows)) >= _DISTINCT * n and np.median(digits) >= _DIGITS:
        return tuple(rows)
    return ("\n".join(sorted(rows)),)


def _in_sequence(values: NDArray[np.str_]) -> bool:
    """Whether the values are whole numbers without a gap, in any order."""
    if not all(value.isdecimal() for value in values.tolist()):
        return False
    numbers = sorted(int(value) for value in values.tolist())
    return numbers[-1] - numbers[0] == len(numbers) - 1


def _read_scores(
    table: pa.Table, columns: ScoreFileColumns, path: Path
) -> tuple[FloatArray, IntArray, IntArray, int, FloatArray]:
    """(confidence [n], labels [n], answer [n], number of classes, all numbers that were read [n, C])."""
    labels = numbers(column_of(table, columns.label, path), columns.label)
    names = columns.scores or _usual_scores(table, columns, path)
    scores = np.stack([numbers(column_of(table, name, path), name) for name in names], axis=1)
    if len(names) == 1:
        scores = within_rounding(scores)
        if scores.min() < 0.0 or scores.max() > 1.0:
            raise ScoreFileError(
                f"column {names[0]!r} goes from {scores.min():g} to {scores.max():g}; a single score column "
                "must be P(label 1), between 0 and 1 (name one column a class otherwise)"
            )
        # Exactly one half is the negative answer, as in `calibration.decision`.
        predicted = (scores[:, 0] > 0.5).astype(np.int64)
        own: FloatArray = np.abs(scores[:, 0] - 0.5)
    else:
        predicted = scores.argmax(axis=1)
        top_two = np.partition(scores, -2, axis=1)[:, -2:]
        own = top_two[:, 1] - top_two[:, 0]
    k = max(len(names), 2)
    odd = np.setdiff1d(labels, np.arange(k))
    if len(odd):
        raise ScoreFileError(f"column {columns.label!r} holds {odd[0]:g}; labels must be 0..{k - 1}")
    if columns.confidence is not None:
        own = numbers(column_of(table, columns.confidence, path), columns.confidence)
    read = np.column_stack([own, scores, labels])
    return own, labels.astype(np.int64), predicted.astype(np.int64), k, read


def within_rounding(probabilities: FloatArray) -> FloatArray:
    """Probabilities with those just outside of [0, 1], by the rounding of float32, set to its ends."""
    clipped: FloatArray = np.clip(probabilities, 0.0, 1.0)
    return np.where(np.abs(clipped - probabilities) <= ROUNDING, clipped, probabilities)


def _usual_scores(table: pa.Table, columns: ScoreFileColumns, path: Path) -> tuple[str, ...]:
    """A single column with a usual name, or a series such as score_0 .. score_K-1."""
    names = set(table.column_names)
    for name in USUAL_SCORES:
        if name in names:
            return (name,)
    for beginning in USUAL_SERIES:
        several = [f"{beginning}{k}" for k in range(len(names))]
        found = tuple(column for column in several if column in names)
        if len(found) >= 2 and found == tuple(several[: len(found)]):
            return found
    series = ", ".join(f"{beginning}0" for beginning in USUAL_SERIES)
    raise ScoreFileError(
        f"{path} has no column {', '.join(USUAL_SCORES)}, and no {series} with those of the other classes; "
        f"its columns are {', '.join(table.column_names)}: name them with --score-column"
    )


def _groups(table: pa.Table, column: str, path: Path) -> NDArray[np.str_]:
    """The groups [n] in a column of the table, or by the names of its images."""
    if column not in table.column_names and column in (by_name := _name_columns(table)):
        return np.asarray(by_name[column], dtype=np.str_)
    return texts(column_of(table, column, path))


def _name_columns(table: pa.Table) -> dict[str, Column]:
    """Columns that the names of the images give, if the table has such names."""
    names = [name for name in table.column_names if name.lower() in FILE_NAMES]
    return name_columns(texts(table.column(names[0])).tolist()) if names else {}


def _questions(table: pa.Table, columns: ScoreFileColumns, path: Path) -> tuple[GroupQuestion, ...]:
    """Columns beside those that are read which may be groups, if nothing is said about groups."""
    if columns.group is not None:
        return ()
    read = {columns.label, columns.confidence, *(columns.scores or _usual_scores(table, columns, path))}
    others, _ = to_columns(table.select([name for name in table.column_names if name not in read]))
    plain = {
        name: typed(column.tolist()) if column.dtype.kind == "U" else column
        for name, column in others.items()
    }
    labels = numbers(column_of(table, columns.label, path), columns.label).astype(np.int64)
    return group_questions(plain, labels, _name_columns(table))


def _spellings(column: str | None, groups: NDArray[np.str_] | None) -> tuple[str, ...]:
    """A warning if names of groups differ only in blanks at their ends."""
    if column is None or groups is None:
        return ()
    return tuple(notice.message for notice in alike_but_for_blanks(column, groups.tolist()))


def _warnings(questions: Sequence[GroupQuestion]) -> tuple[str, ...]:
    """A warning per column that may be a group: the certificate is then too optimistic."""
    return tuple(
        f"{question.sentence()}. If every row stands alone, use --group none. Until then this certificate "
        "counts each row as independent evidence, and promises too much if it is not"
        for question in questions
    )
