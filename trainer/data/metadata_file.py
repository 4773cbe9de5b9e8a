"""metadata.csv or metadata.jsonl beside the images of a folder: file names, labels, groups, other columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.blanks import ColumnLayout, name_or_missing
from trainer.data.images import Column, NoImages, UnknownColumn, UnreadableSource
from trainer.data.labels import as_text

METADATA_FILES = ("metadata.csv", "metadata.jsonl")
FILE_COLUMN = "file_name"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def find_metadata(root: Path) -> Path | None:
    """The metadata file of a folder, in any case; `UnreadableSource` if there are several."""
    found = sorted(path for path in root.iterdir() if path.name.lower() in METADATA_FILES and path.is_file())
    if len(found) > 1:
        raise UnreadableSource(f"{root} has both {' and '.join(path.name for path in found)}; keep one")
    return found[0] if found else None


def read_metadata(path: Path) -> tuple[list[str], dict[str, Column]]:
    """(file names as written, the other columns by name)."""
    text = _read_text(path)
    try:
        records = list(
            _csv_records(path, text) if path.suffix.lower() == ".csv" else _json_records(path, text)
        )
    except csv.Error as error:
        raise UnreadableSource(f"{path} cannot be read: {error}") from error
    if not records:
        raise NoImages(f"{path} lists no image")
    names = list(dict.fromkeys(key for record in records for key in record))
    if FILE_COLUMN not in names:
        raise UnknownColumn(f"{path} has no column {FILE_COLUMN!r}; the columns are {', '.join(names)}")
    files = [str(record.get(FILE_COLUMN) or "") for record in records]
    columns = {
        name: typed([_cell(record.get(name)) for record in records]) for name in names if name != FILE_COLUMN
    }
    return files, columns


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(_UTF16) or b"\0" in content[:2]:
        raise UnreadableSource(f"{path} is UTF-16 text; save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableSource(
            f"{path} cannot be read as UTF-8 text: byte {error.start} is {content[error.start]:#04x}; "
            "save it as UTF-8"
        ) from error


def _csv_records(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    reader = csv.DictReader(StringIO(text, newline=""))
    columns = {header: ColumnLayout.of(header) for header in reader.fieldnames or ()}
    for record in reader:
        if None in record:
            raise UnreadableSource(f"{path} has a row with more cells than columns: {list(record.values())}")
        yield {
            column.name: None if record[header] is None else column.cell(record[header])
            for header, column in columns.items()
        }


def _json_records(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            # Numbers stay as they are written, since they may be identifiers.
            record = json.loads(line, parse_float=str, parse_int=str)
        except ValueError as error:
            raise UnreadableSource(f"line {number} of {path} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise UnreadableSource(f"line {number} of {path} is no JSON object")
        yield dict(_flat(record))


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return name_or_missing(str(value)) if isinstance(value, str | int | float) else json.dumps(value)


def typed(cells: Sequence[str]) -> Column:
    """Texts as numbers if every one of them can be told from its number again, otherwise as they are.

    `7` and `0.5` become numbers. `07`, `1e3`, `1_000` and numbers beyond the exact range of float64 stay
    texts: as numbers, different names would become one. int64 if all are whole and none is missing; missing
    cells and `nan` are NaN in float64.
    """
    texts = np.array(cells, dtype=np.str_)
    missing = np.array([cell == "" or cell.lower() == "nan" for cell in cells])
    if missing.all():
        return texts
    try:
        numbers = np.array([np.nan if gap else float(cell) for cell, gap in zip(cells, missing, strict=True)])
    except ValueError:
        return texts
    if not missing.any():
        whole = _whole(cells)
        if whole is not None:
            return whole
    return numbers if (as_text(numbers) == texts)[~missing].all() else texts


def _whole(cells: Sequence[str]) -> Column | None:
    """int64, if every cell is the plain spelling of one."""
    try:
        numbers = [int(cell) for cell in cells]
        column = np.array(numbers, dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    plain = all(str(number) == cell for number, cell in zip(numbers, cells, strict=True))
    return column if plain else None
