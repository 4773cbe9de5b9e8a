"""A table in a file: rows of named columns, in the format that the file's suffix names."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from demur.choices import TABLE_SUFFIXES
from demur.errors import InterfaceError
from trainer.run.disk import explain_disk_errors

ROW_GROUP = 8192
"""Number of rows per row group of a parquet file."""
Columns = Mapping[str, pa.DataType]
"""Name of a column, which is an attribute of every row -> its type in a parquet file"""


class RowWriter(Protocol):
    """Writer of one file format; a row is any object with an attribute per column."""

    def write(self, rows: Sequence[Any]) -> None: ...
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
def open_table(out: Path, columns: Columns) -> Iterator[RowWriter]:
    """A writer of `out`. The file appears complete at the end, or not at all.

    Raises UnknownTableFormat before any file is touched, and DiskError.
    """
    require_table(out)
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


class _ParquetRows:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._schema = pa.schema(list(columns.items()))
        self._writer = pq.ParquetWriter(path, self._schema)
        self._waiting: list[Any] = []

    def write(self, rows: Sequence[Any]) -> None:
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

    def __init__(self, path: Path, columns: Columns) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream)
        self._columns = list(columns)
        self._writer.writerow(columns)

    def write(self, rows: Sequence[Any]) -> None:
        for row in rows:
            values = (getattr(row, name) for name in self._columns)
            self._writer.writerow([json.dumps(v) if isinstance(v, tuple) else v for v in values])

    def close(self) -> None:
        self._stream.close()


class _JsonLines:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._stream = path.open("w", encoding="utf-8")
        self._columns = list(columns)

    def write(self, rows: Sequence[Any]) -> None:
        for row in rows:
            values = {name: getattr(row, name) for name in self._columns}
            self._stream.write(json.dumps(values) + "\n")

    def close(self) -> None:
        self._stream.close()


WRITERS: Final[Mapping[str, Callable[[Path, Columns], RowWriter]]] = MappingProxyType(
    {".parquet": _ParquetRows, ".csv": _CsvRows, ".jsonl": _JsonLines}
)
