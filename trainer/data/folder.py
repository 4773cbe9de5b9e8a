"""Images in a folder: class sub-folders, or a metadata.csv / metadata.jsonl beside the files."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.annotate import Annotation, annotate
from trainer.data.images import (
    Column,
    ImageSet,
    NoImages,
    Notice,
    SourceNotFound,
    UnknownColumn,
    UnreadableSource,
)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
METADATA_FILES = ("metadata.csv", "metadata.jsonl")
SPLIT_NAMES = frozenset({"train", "test", "val", "valid", "validation"})


class FolderReader:
    """Image bytes by row; a file is opened only when it is read."""

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self._root = root
        self._files = files

    def read(self, row: int) -> bytes:
        try:
            return (self._root / self._files[row]).read_bytes()
        except OSError as error:
            raise UnreadableSource(f"{self._files[row]} cannot be read: {error.strerror}") from error

    def digest(self) -> str:
        whole = hashlib.sha256()
        for name in self._files:
            whole.update(name.encode() + b"\0")
            try:
                with (self._root / name).open("rb") as stream:
                    whole.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError:
                whole.update(b"unreadable")
        return whole.hexdigest()


def open_folder(location: str, how: Annotation) -> ImageSet:
    """Open a folder of images; none is decoded.

    With a metadata file, its `file_name` column lists the images and the others are labels, groups
    and metadata. Without one, the first level of sub-folders names the classes, in sorted order, and
    deeper folders become the column `folder`. Images in no sub-folder at all are unlabelled.
    """
    root = Path(location).expanduser()
    if not root.exists():
        raise SourceNotFound(f"there is no folder {location}")
    if not root.is_dir():
        raise SourceNotFound(
            f"{location} is a file; name the folder that holds it, or use parquet:{location}"
        )
    metadata = [root / name for name in METADATA_FILES if (root / name).is_file()]
    if len(metadata) > 1:
        raise UnreadableSource(f"{location} has both {' and '.join(METADATA_FILES)}; keep one")
    files, columns, how = _listed(metadata[0], how) if metadata else _walked(root, how)
    return annotate(f"folder:{location}", FolderReader(root, files), columns, files, how)


def _listed(metadata: Path, how: Annotation) -> tuple[list[str], dict[str, Column], Annotation]:
    try:
        records = list(_csv_records(metadata) if metadata.suffix == ".csv" else _json_records(metadata))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableSource(f"{metadata} cannot be read: {error}") from error
    if not records:
        raise NoImages(f"{metadata} lists no image")
    names = list(dict.fromkeys(key for record in records for key in record))
    if "file_name" not in names:
        raise UnknownColumn(f"{metadata} has no column 'file_name'; the columns are {', '.join(names)}")
    files = [str(record.get("file_name") or "") for record in records]
    columns = {
        name: _typed([_cell(record.get(name)) for record in records]) for name in names if name != "file_name"
    }
    return files, columns, how


def _csv_records(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        for record in csv.DictReader(stream):
            if None in record:
                raise UnreadableSource(
                    f"{path} has a row with more cells than columns: {list(record.values())}"
                )
            yield record


def _json_records(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
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
    return str(value).strip() if isinstance(value, str | int | float) else json.dumps(value)


def _typed(cells: Sequence[str]) -> Column:
    """Numbers where every filled cell is one: int64 where whole and complete, else float64; else text."""
    try:
        numbers = np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array(cells, dtype=np.str_)
    if np.isnan(numbers).all() or any(
        len(cell) > 1 and cell[0] == "0" and cell.isdecimal() for cell in cells
    ):
        return np.array(cells, dtype=np.str_)  # identifiers such as 00012 stay as they are written
    whole = all(cell.lstrip("+-").isdecimal() for cell in cells)
    return np.array([int(cell) for cell in cells], dtype=np.int64) if whole else numbers


def _walked(root: Path, how: Annotation) -> tuple[list[str], dict[str, Column], Annotation]:
    present = sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    images = [path for path in present if path.suffix.lower() in IMAGE_SUFFIXES]
    others = [path for path in present if path.suffix.lower() not in IMAGE_SUFFIXES]
    if not images:
        told = (
            f"; other files in it: {len(others)}, the first {others[0]}" if others else " and no other file"
        )
        raise NoImages(f"{root} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}){told}")
    notices = list(how.notices)
    if others:
        notices.append(
            Notice(
                "files-ignored",
                f"ignored, since they are no images: {len(others)} files, the first {others[0]}",
            )
        )
    tops = sorted({path.parts[0] for path in images if len(path.parts) > 1})
    if tops and set(tops) <= SPLIT_NAMES:
        raise UnreadableSource(
            f"the sub-folders of {root} are splits ({', '.join(tops)}), not classes: name one, "
            f"for example folder:{root / tops[0]}"
        )
    columns: dict[str, Column] = {}
    if tops:
        labels = [path.parts[0] if len(path.parts) > 1 else "" for path in images]
        columns["label"] = np.array(labels, dtype=np.str_)
        if how.label_map is None and not how.class_names:
            how = replace(how, class_names=tuple(tops))
    inner = [str(path.parent.relative_to(path.parts[0])) if len(path.parts) > 2 else "" for path in images]
    if any(inner):
        columns["folder"] = np.array(inner, dtype=np.str_)
    return [path.as_posix() for path in images], columns, replace(how, notices=tuple(notices))
