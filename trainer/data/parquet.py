"""Images in parquet files of the Hugging Face convention, read one row group at a time."""

from __future__ import annotations

import glob
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainer.data.annotate import Annotation, annotate
from trainer.data.arrow import to_columns
from trainer.data.image_files import find_files
from trainer.data.images import Column, ImageSet, NoImages, SourceNotFound, UnknownColumn, UnreadableSource

KEPT_BYTES = 256 * 2**20
"""Memory for row groups, bytes; a single one may be larger."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One open parquet file."""

    path: Path
    file: pq.ParquetFile

    @classmethod
    def open(cls, path: Path) -> Shard:
        try:
            return cls(path, pq.ParquetFile(path, memory_map=True))
        except (pa.ArrowException, OSError) as error:
            raise UnreadableSource(f"{path} is not a readable parquet file: {_first_line(error)}") from error

    @property
    def rows(self) -> int:
        return int(self.file.metadata.num_rows)


def open_parquet(
    location: str, annotation: Annotation, *, image_column: str = "image", name: str = ""
) -> ImageSet:
    """Open a parquet file, a folder of them, or a glob; no image is read."""
    return open_shards(
        find_parquet(location), annotation, image_column=image_column, name=name or f"parquet:{location}"
    )


def open_shards(files: Sequence[Path], annotation: Annotation, *, image_column: str, name: str) -> ImageSet:
    """Open these parquet files as one source, in this order."""
    shards = [Shard.open(path) for path in files]
    if not any(shard.rows for shard in shards):
        raise NoImages(f"{name} holds no rows")
    for shard in shards:
        _check_image_column(shard, image_column)
    columns, notices = to_columns(_other_columns(shards, image_column))
    paths = _paths(shards, columns.pop(f"{image_column}.path", None))
    annotation = replace(
        annotation,
        notices=(*annotation.notices, *notices),
        class_names=annotation.class_names or _class_names(shards[0], annotation.label_column or "label"),
    )
    return annotate(name, ParquetReader(shards, image_column), columns, paths, annotation)


def find_parquet(location: str) -> list[Path]:
    """The parquet files that a path, a folder or a glob names, sorted."""
    path = Path(location).expanduser()
    if path.is_dir():
        files = find_files(path)
        found = [path / file for file in (*files.images, *files.others) if file.suffix.lower() == ".parquet"]
        if not found:
            raise NoImages(f"the folder {location} holds no .parquet file")
        return found
    if path.is_file():
        return [path]
    found = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    if not found:
        raise SourceNotFound(f"there is no parquet file, folder or glob match at {location}")
    return found


class ParquetReader:
    """Image bytes by row over several files; the latest row groups stay in memory. Thread-safe."""

    def __init__(self, shards: Sequence[Shard], image_column: str) -> None:
        self._shards = shards
        self._column = image_column
        self._places: list[tuple[Shard, int]] = []
        starts = [0]
        for shard in shards:
            for group in range(shard.file.metadata.num_row_groups):
                self._places.append((shard, group))
                starts.append(starts[-1] + shard.file.metadata.row_group(group).num_rows)
        self._starts = np.array(starts)
        self._kept: OrderedDict[int, pa.Array] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, row: int) -> bytes:
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        with self._lock:
            value = self._row_group(chunk)[row - int(self._starts[chunk])].as_py()
        if isinstance(value, bytes):
            return value
        if isinstance(value, Mapping):
            if value.get("bytes") is not None:
                return bytes(value["bytes"])
            if value.get("path"):
                return self._read_beside(self._places[chunk][0].path, str(value["path"]))
        raise UnreadableSource("there are no bytes and no path in this row")

    def digest(self) -> str:
        whole = hashlib.sha256()
        for shard in self._shards:
            with shard.path.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
        return whole.hexdigest()

    def _row_group(self, chunk: int) -> pa.Array:
        if chunk in self._kept:
            self._kept.move_to_end(chunk)
            return self._kept[chunk]
        shard, group = self._places[chunk]
        try:
            column = shard.file.read_row_group(group, columns=[self._column]).column(self._column)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableSource(
                f"row group {group} of {shard.path} is damaged: {_first_line(error)}"
            ) from error
        self._kept[chunk] = column.combine_chunks()
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return self._kept[chunk]

    @staticmethod
    def _read_beside(shard: Path, path: str) -> bytes:
        """An image of which the parquet file holds only the path, relative to its own folder."""
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise UnreadableSource(f"{shard} names {path}, which lies outside its folder")
        try:
            return (shard.parent / path).read_bytes()
        except OSError as error:
            raise UnreadableSource(f"{shard} names {path}, which cannot be read: {error.strerror}") from error
        except ValueError as error:  # a NUL in the name
            raise UnreadableSource(f"{shard} names {path!r}, which cannot be read: {error}") from error


def _check_image_column(shard: Shard, image_column: str) -> None:
    schema = shard.file.schema_arrow
    if image_column not in schema.names:
        raise UnknownColumn(
            f"{shard.path} has no image column {image_column!r}; the columns are {', '.join(schema.names)}"
        )
    kind = schema.field(image_column).type
    if not (_is_bytes(kind) or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)):
        raise UnknownColumn(
            f"the image column {image_column!r} of {shard.path} is {kind}; it must hold encoded bytes, or a "
            "struct with a field 'bytes'"
        )


def _other_columns(shards: Sequence[Shard], image_column: str) -> pa.Table:
    """All columns except image bytes; opening a source reads only these."""
    tables = []
    for shard in shards:
        names: list[str] = []
        for column in shard.file.schema_arrow:
            if pa.types.is_struct(column.type):
                fields = [column.type.field(i) for i in range(column.type.num_fields)]
                names += [f"{column.name}.{inner.name}" for inner in fields if not _is_bytes(inner.type)]
            elif not _is_bytes(column.type) and column.name != image_column:
                names.append(column.name)
        try:
            tables.append(shard.file.read(columns=names))
        except (pa.ArrowException, OSError) as error:
            raise UnreadableSource(f"{shard.path} is damaged: {_first_line(error)}") from error
    try:
        return pa.concat_tables([_plain(table) for table in tables], promote_options="permissive")
    except pa.ArrowException as error:
        raise UnreadableSource(
            f"the columns of {shards[0].path} and its neighbours do not fit together: {_first_line(error)}"
        ) from error


def _plain(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


def _paths(shards: Sequence[Shard], column: Column | None) -> list[str]:
    """The path in the row, or else file#row."""
    numbered = [f"{shard.path.name}#{row}" for shard in shards for row in range(shard.rows)]
    if column is None:
        return numbered
    return [str(named) or number for named, number in zip(column.tolist(), numbered, strict=True)]


def _class_names(shard: Shard, label_column: str) -> tuple[str, ...]:
    """Class names of a ClassLabel column, from the Hugging Face metadata of the file."""
    raw = (shard.file.schema_arrow.metadata or {}).get(b"huggingface")
    try:
        feature = json.loads(raw)["info"]["features"][label_column] if raw else {}
    except (ValueError, KeyError, TypeError):
        return ()
    names = feature.get("names") if isinstance(feature, Mapping) else None
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
