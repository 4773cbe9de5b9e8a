"""Table of decisions: one row per image, in the format that the file's suffix names."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType
from typing import Final, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from calibration.decision import DecisionKind, Reason, StageName
from demur.choices import TABLE_SUFFIXES
from demur.errors import InterfaceError
from trainer.run.disk import explain_disk_errors

UNREADABLE: Final = "unreadable"
"""Reason of an abstention on a file that is no image"""
ROW_GROUP = 8192
"""Number of rows per row group of a parquet file."""


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


class RowWriter(Protocol):
    """Writer of one file format."""

    def write(self, rows: Sequence[DecisionRow]) -> None: ...
    def close(self) -> None: ...


class UnknownTableFormat(InterfaceError, ValueError):
    """The output is no file, or its suffix names no format."""


def require_table(out: Path) -> None:
    """Raise UnknownTableFormat unless `out` can become a table: a file whose suffix names a format."""
    if out.suffix.lower() not in WRITERS:
        suffixes = ", ".join(TABLE_SUFFIXES)
        raise UnknownTableFormat(f"out is {out.name!r}; its suffix must be one of {suffixes}")
    if out.is_dir():
        raise UnknownTableFormat(f"out is {out}, which is a folder; name a file")


@contextmanager
def open_table(out: Path, classes: int) -> Iterator[RowWriter]:
    """A writer of `out`. The file appears complete at the end, or not at all.

    `classes`: number of classes, K. Raises UnknownTableFormat before any file is touched, and DiskError.
    """
    require_table(out)
    columns = [field.name for field in fields(DecisionRow) if field.name != "probabilities" or classes > 2]
    with explain_disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".{out.name}.{token_hex(6)}.partial")
    with explain_disk_errors(out):
        try:
            writer = WRITERS[out.suffix.lower()](scratch, columns)
            try:
                yield writer
            finally:
                writer.close()
            with scratch.open("rb") as written:
                os.fsync(written.fileno())
            scratch.replace(out)
        finally:
            scratch.unlink(missing_ok=True)


_COLUMN_TYPES = {
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


class _ParquetRows:
    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._schema = pa.schema([(name, _COLUMN_TYPES[name]) for name in columns])
        self._writer = pq.ParquetWriter(path, self._schema)
        self._waiting: list[DecisionRow] = []

    def write(self, rows: Sequence[DecisionRow]) -> None:
        self._waiting += rows
        if len(self._waiting) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = {name: [getattr(row, name) for row in self._waiting] for name in self._schema.names}
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._waiting = []


class _CsvRows:
    """A list is JSON text in its cell; a missing value is an empty cell."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream)
        self._columns = columns
        self._writer.writerow(columns)

    def write(self, rows: Sequence[DecisionRow]) -> None:
        for row in rows:
            values = (getattr(row, name) for name in self._columns)
            self._writer.writerow([json.dumps(v) if isinstance(v, tuple) else v for v in values])

    def close(self) -> None:
        self._stream.close()


class _JsonLines:
    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._stream = path.open("w", encoding="utf-8")
        self._columns = columns

    def write(self, rows: Sequence[DecisionRow]) -> None:
        for row in rows:
            values = asdict(row)
            self._stream.write(json.dumps({name: values[name] for name in self._columns}) + "\n")

    def close(self) -> None:
        self._stream.close()


WRITERS: Mapping[str, Callable[[Path, Sequence[str]], RowWriter]] = MappingProxyType(
    {".parquet": _ParquetRows, ".csv": _CsvRows, ".jsonl": _JsonLines}
)
