"""Any source of images as a folder of files: a sub-folder per class, and a metadata.csv with the columns."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from secrets import token_hex

from trainer.data.image_files import IMAGE_SUFFIXES
from trainer.data.images import UNLABELLED, ImageSource
from trainer.data.labels import as_text, in_class_order
from trainer.data.metadata_file import FILE_COLUMN, METADATA_FILES
from trainer.errors import DataError
from trainer.run.disk import explain_disk_errors

_SUFFIX_OF = ((b"\x89PNG", ".png"), (b"RIFF", ".webp"))
"""First bytes of an image -> suffix of its file, where its path names none; .jpg otherwise"""
_LONGEST = 120
"""Characters of a file name, so that no file system refuses it"""
_NO_CLASS = "unlabelled"


@dataclass(frozen=True, slots=True)
class WrittenFolder:
    """What became of a source."""

    images: int
    left_out: tuple[str, ...]
    """Images that cannot be read, with the reason"""
    order_kept: bool
    """Whether the folder's classes come in the source's order, without `data.class_names`"""


def write_folder(source: ImageSource, folder: Path, advance: Callable[[int], None]) -> WrittenFolder:
    """Write every image and metadata.csv below `folder`, which `folder:PATH` then reads.

    metadata.csv has `file_name`, `label` (the name of the class) and the source's columns. The folder
    appears complete, or not at all. `advance` is called with 1 for every image. Raises DataError if
    `folder` holds anything, and DiskError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and is not empty; name a new folder for the images")
    scratch = folder.absolute().with_name(f".{folder.name}.{token_hex(6)}.partial")
    with explain_disk_errors(folder):
        try:
            scratch.mkdir(parents=True)
            written = _write(source, scratch, advance)
            if folder.exists():
                folder.rmdir()
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return written


def _write(source: ImageSource, folder: Path, advance: Callable[[int], None]) -> WrittenFolder:
    columns = {name: as_text(column).tolist() for name, column in source.metadata.items() if name != "label"}
    names = _file_names(source)
    left_out = []
    with (folder / METADATA_FILES[0]).open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow([FILE_COLUMN, *(["label"] if source.labelled else []), *columns])
        for row in range(len(source)):
            advance(1)
            try:
                content = source.read(row)
            except DataError as error:
                left_out.append(str(error))
                continue
            name = _with_suffix(names[row], content)
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
            label = [_class_of(source, row) or ""] if source.labelled else []
            table.writerow([name, *label, *(values[row] for values in columns.values())])
    kept = list(source.class_names) == in_class_order(source.class_names)
    return WrittenFolder(len(source) - len(left_out), tuple(left_out), kept)


def _class_of(source: ImageSource, row: int) -> str | None:
    label = int(source.labels[row])
    return None if label == UNLABELLED else source.class_names[label]


def _file_names(source: ImageSource) -> list[str]:
    """Row -> `CLASS/NAME`, different for every row on file systems of either kind; NAME may lack a suffix."""
    taken: set[str] = set()
    names = []
    for row, path in enumerate(source.paths):
        inner = PurePosixPath(path)
        above = (inner.parent.name,) if inner.parent.name else ()
        plain = _plain("-".join((*above, inner.name)))[-_LONGEST:]
        name = f"{_plain(_class_of(source, row) or _NO_CLASS)}/{plain}"
        if name.casefold() in taken:
            name = name.replace("/", f"/{row}-")
        taken.add(name.casefold())
        names.append(name)
    return names


def _plain(name: str) -> str:
    """A name that any file system takes, and that is not hidden."""
    return re.sub(r"[^\w .()+-]", "_", name).strip(" .") or "_"


def _with_suffix(name: str, content: bytes) -> str:
    if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        return name
    return name + next((suffix for start, suffix in _SUFFIX_OF if content.startswith(start)), ".jpg")
