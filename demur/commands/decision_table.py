"""Table of decisions: one row per image, in the format that the file's suffix names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from calibration.decision import DecisionKind, Reason, StageName
from demur.commands.table_file import Columns, RowWriter, open_table

UNREADABLE: Final = "unreadable"
"""Reason of an abstention on a file that is no image"""


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """Decision on one image. `error` says why an image could not be read, or has no probability."""

    path: str
    """Without lone surrogates, see `demur.output.printable`"""
    decision: DecisionKind
    label: int | None
    label_name: str | None
    """Name of the class in the bundle"""
    prediction_set: tuple[int, ...] | None
    probability: float | None
    """p(label 1); also given when the decision is to abstain. None if the model's outputs are no numbers"""
    confidence: float | None
    stage: StageName | None
    reason: Reason | Literal["unreadable"] | None
    error: str | None
    truth: int | None
    """The label that the data gives, as a class of the bundle; None if it gives none"""
    bundle: str
    """Name of the bundle that decided"""
    bundle_version: str
    probabilities: tuple[float | None, ...] | None
    """p of every class; a column only for more than two classes"""


@contextmanager
def open_decisions(out: Path, classes: int) -> Iterator[RowWriter]:
    """A writer of decisions to `out`; `classes`: their number, K. See `open_table`."""
    columns = {name: kind for name, kind in _COLUMNS.items() if name != "probabilities" or classes > 2}
    with open_table(out, columns) as table:
        yield table


_COLUMNS: Final[Columns] = {
    "path": pa.string(),
    "decision": pa.string(),
    "label": pa.int64(),
    "label_name": pa.string(),
    "prediction_set": pa.list_(pa.int64()),
    "probability": pa.float64(),
    "confidence": pa.float64(),
    "stage": pa.string(),
    "reason": pa.string(),
    "error": pa.string(),
    "truth": pa.int64(),
    "bundle": pa.string(),
    "bundle_version": pa.string(),
    "probabilities": pa.list_(pa.float64()),
}
