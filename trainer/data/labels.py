"""Classes 0..K-1 from a raw label column; every unusable label is a fault of its row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.scores import IntArray
from trainer.data.images import UNLABELLED, BadLabels, Column

MOSTLY = 0.5
"""Share of whole numbers among texts from which the column is numeric, and other texts are faults."""
MOST_CLASSES = 256
"""Distinct texts up to which a column can be a label; with more it is an identifier."""


_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Labels:
    """Class indices [n], class names, and row -> fault of its label."""

    indices: IntArray
    class_names: tuple[str, ...]
    faults: Mapping[int, str]


def read_labels(
    column: Column,
    *,
    name: str,
    class_names: Sequence[str] = (),
    label_map: Mapping[str, int] | None = None,
    classes: int = 2,
) -> Labels:
    """Map raw labels to 0..K-1.

    `label_map` (raw value as text -> class) takes precedence. Whole numbers must lie in 0..K-1, with K the
    number of `class_names`, or `classes` without names. Other texts are sorted, and the first becomes class
    0; among texts that are mostly whole numbers, other texts are faults. A label that does not fit becomes
    `UNLABELLED` and a fault.
    """
    if label_map is not None:
        return _by_map(column, label_map, class_names)
    if column.dtype.kind in "if":
        return _by_number(np.asarray(column, dtype=np.float64), class_names, classes)
    texts = column.astype(np.str_)
    numbers = _whole_numbers(texts)
    if numbers is None or set(texts.tolist()) - {""} <= set(class_names):
        return _by_text(texts, name, class_names)
    labels = _by_number(numbers, class_names, classes)
    words = {
        row: f"label {str(texts[row])!r} is no whole number, as the others are"
        for row in np.flatnonzero(np.isnan(numbers) & (texts != "")).tolist()
    }
    return replace(labels, faults={**labels.faults, **words})


def _by_map(column: Column, label_map: Mapping[str, int], class_names: Sequence[str]) -> Labels:
    targets = sorted(set(label_map.values()))
    if targets != list(range(len(targets))) or len(targets) < 2:
        raise BadLabels(
            f"label_map sends labels to {targets}; it must reach every class 0..K-1, K at least 2"
        )
    if class_names and len(class_names) != len(targets):
        raise BadLabels(f"label_map has {len(targets)} classes and class_names {len(class_names)}")
    texts = as_text(column)
    indices = np.full(len(texts), UNLABELLED, dtype=np.int64)
    for raw, target in label_map.items():
        indices[texts == raw] = target
    faults = {
        int(row): f"label {str(texts[row])!r} is not in the label map"
        if texts[row]
        else "the label is missing"
        for row in np.flatnonzero(indices == UNLABELLED)
    }
    names = tuple(class_names) or tuple(
        "/".join(raw for raw, target in label_map.items() if target == k) for k in targets
    )
    return Labels(indices, names, faults)


def _by_number(values: np.ndarray, class_names: Sequence[str], classes: int) -> Labels:
    known = len(class_names) or classes
    with np.errstate(invalid="ignore"):
        usable = (values >= 0) & (values < known) & (values == np.floor(values))
    indices = np.full(len(values), UNLABELLED, dtype=np.int64)
    indices[usable] = values[usable].astype(np.int64)
    faults = {
        int(row): "the label is missing"
        if np.isnan(values[row])
        else f"label {values[row]:g} is outside 0..{known - 1}"
        for row in np.flatnonzero(~usable)
    }
    return Labels(indices, tuple(class_names) or tuple(str(k) for k in range(known)), faults)


def _by_text(texts: np.ndarray, name: str, class_names: Sequence[str]) -> Labels:
    found = in_class_order(set(texts.tolist()) - {""})
    if len(found) > MOST_CLASSES:
        raise BadLabels(
            f"column {name!r} has {len(found)} different texts, so it is no label: name another with "
            "--label-column, or map its values with data.label_map in a configuration"
        )
    names = list(class_names) or found
    place = {text: index for index, text in enumerate(names)}
    indices = np.array([place.get(text, UNLABELLED) for text in texts.tolist()], dtype=np.int64)
    faults = {
        int(row): f"label {str(texts[row])!r} is none of {', '.join(names)}"
        if texts[row]
        else "the label is missing"
        for row in np.flatnonzero(indices == UNLABELLED)
    }
    return Labels(indices, tuple(names), faults)


def _whole_numbers(texts: np.ndarray) -> np.ndarray | None:
    """Texts such as "0" and " 1" as numbers, others as NaN; None if few are whole numbers."""
    is_number = {text: _is_plain_number(text.strip()) for text in set(texts.tolist())}
    count = sum(is_number[text] for text in texts.tolist())
    if count < MOSTLY * np.count_nonzero(texts != "") or count == 0:
        return None
    return np.array([float(text) if is_number[text] else np.nan for text in texts.tolist()], dtype=np.float64)


def as_text(column: Column) -> np.ndarray:
    """Any column as text [n]: different values have different texts; whole floats have no ".0", missing
    values are ""."""
    if column.dtype.kind == "f":
        return np.array([_float_text(value) for value in column.tolist()], dtype=np.str_)
    return column.astype(np.str_)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ""
    short = f"{value:.15g}"
    return short if float(short) == value else repr(value)


def numbers_or_texts(column: Column) -> Column:
    """The column for statistics: texts that are all decimal numbers as float64, anything else unchanged.

    As names, such texts stay as they are: `1.10` and `1.1` are two groups, and one number.
    """
    texts = column.tolist()
    if column.dtype.kind != "U" or not all(_DECIMAL.fullmatch(text.strip()) for text in texts if text):
        return column
    if not any(texts):
        return column
    return np.array([float(text) if text else np.nan for text in texts], dtype=np.float64)


def in_class_order(names: Iterable[str]) -> list[str]:
    """Names of classes in their order: by number if all are whole numbers (2 before 10), else by text."""
    texts = sorted(names)
    return sorted(texts, key=int) if all(_WHOLE.fullmatch(text) for text in texts) else texts


def _is_plain_number(text: str) -> bool:
    """Whether the text is the plain spelling of a whole number: `7`, not `07` or `+7`."""
    return _WHOLE.fullmatch(text) is not None and str(int(text)) == text
