"""Tables in parquet and CSV files, and their columns as numbers and as names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from calibration.scores import FloatArray
from trainer.data.blanks import ColumnLayout
from trainer.errors import RunError


class ScoreFileError(RunError):
    """The table cannot be read as labelled scores; the message names the column."""


def read_table(path: Path) -> pa.Table:
    """The rows of a .parquet or .csv file; `ScoreFileError` if it cannot be read or holds none."""
    readers = {".parquet": pq.read_table, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise ScoreFileError(f"{path} is {path.suffix or 'without a suffix'}; it must be .parquet or .csv")
    try:
        table = readers[path.suffix.lower()](path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ScoreFileError(f"{path} cannot be read: {error}") from None
    if table.num_rows == 0:
        raise ScoreFileError(f"{path} has no rows")
    return table


def _read_csv(path: Path) -> pa.Table:
    """Every column as text, since a name may look like a number: `007`, `1e3`, an id of 20 digits."""
    with path.open("rb") as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise ScoreFileError(f"{path} is UTF-16 text; save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
    with pa_csv.open_csv(path) as reader:
        names = reader.schema.names
    options = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    table = pa_csv.read_csv(path, convert_options=options)
    layouts = [ColumnLayout.of(name) for name in names]
    return pa.table(
        [_unpadded(table.column(place), layout) for place, layout in enumerate(layouts)],
        [layout.name for layout in layouts],
    )


def _unpadded(column: pa.ChunkedArray, layout: ColumnLayout) -> pa.ChunkedArray:
    """The cells without padding; a cell of nothing but blanks is empty."""
    column = pc.utf8_ltrim_whitespace(column) if layout.before else column
    column = pc.utf8_rtrim_whitespace(column) if layout.after else column
    blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    return pc.if_else(pc.fill_null(blank, True), pa.scalar(None, pa.string()), column)


def column_of(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    """A column without gaps; `ScoreFileError` names it."""
    if name not in table.column_names:
        raise ScoreFileError(
            f"{path} has no column {name!r}; its columns are {', '.join(table.column_names)}"
        )
    column = table.column(name)
    if column.null_count:
        raise ScoreFileError(f"column {name!r} has {column.null_count} empty cells; every row needs a value")
    return column


def numbers(column: pa.ChunkedArray, name: str) -> FloatArray:
    """Finite numbers [n]; texts are read as such, with true and false as 1 and 0."""
    try:
        if pa.types.is_string(column.type):
            column = _from_texts(pc.utf8_trim_whitespace(column))
        values: FloatArray = column.to_numpy().astype(np.float64)
    except (ValueError, TypeError):
        raise ScoreFileError(f"column {name!r} holds {column.type}; it must hold numbers") from None
    rows = np.flatnonzero(~np.isfinite(values))
    if len(rows):
        raise ScoreFileError(
            f"column {name!r} has {len(rows)} values that are not finite, the first in row {rows[0] + 1}"
        )
    return values


def _from_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers, or true and false as 1 and 0."""
    try:
        return pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return pc.cast(pc.cast(column, pa.bool_()), pa.float64())


def texts(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Names [n], exactly as they are written."""
    return np.asarray([str(value) for value in column.to_pylist()], dtype=np.str_)
