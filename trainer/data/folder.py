"""Images in a folder: classes by sub-folder, or a metadata.csv / metadata.jsonl beside the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from trainer.data.annotate import Annotation, annotate
from trainer.data.folder_splits import role_of, roles_of
from trainer.data.image_files import IMAGE_SUFFIXES, FoundFiles, find_files, printable
from trainer.data.images import Column, ImageSet, NoImages, Notice, SourceNotFound, UnreadableSource
from trainer.data.labels import in_class_order
from trainer.data.metadata_file import find_metadata, read_metadata


class FolderReader:
    """Image bytes by row; a file is opened only when it is read."""

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self._root = root
        self._files = files

    def read(self, row: int) -> bytes:
        name = self._files[row]
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise UnreadableSource(f"{printable(name)} cannot be read: {error.strerror}") from error
        except ValueError as error:  # a NUL in the name
            raise UnreadableSource(f"{name!r} cannot be read: {error}") from error

    def digest(self) -> str:
        whole = hashlib.sha256()
        for name in self._files:
            whole.update(os.fsencode(name) + b"\0")
            try:
                with (self._root / name).open("rb") as stream:
                    whole.update(hashlib.file_digest(stream, "sha256").digest())
            except (OSError, ValueError):
                whole.update(b"unreadable")
        return whole.hexdigest()


def open_folder(location: str, annotation: Annotation, *, by_split: bool = False) -> ImageSet:
    """Open a folder of images; none is decoded.

    With a metadata file, its `file_name` column lists the images, and the other columns are labels, groups
    and metadata. Without one, the first level of sub-folders names the classes, in the order of
    `in_class_order`, and deeper folders become the column `folder`. Images outside of sub-folders are
    unlabelled. `by_split`: the first level names splits, and the second classes.
    """
    if printable(location) != location:
        raise SourceNotFound(f"the path {printable(location)} is no UTF-8 text; rename the folder")
    root = Path(location).expanduser()
    if not root.exists():
        raise SourceNotFound(f"there is no folder {location}")
    if not root.is_dir():
        raise SourceNotFound(
            f"{location} is a file; name the folder that holds it, or use parquet:{location}"
        )
    metadata = find_metadata(root)
    if metadata is not None:
        listed, columns = read_metadata(metadata)
        files = [_existing(root, name) for name in listed]
    else:
        files, columns, annotation = _from_sub_folders(root, annotation, int(by_split))
    roles = None
    if by_split:
        places = [PurePosixPath(name) for name in files]
        roles = roles_of(root, places)
        annotation = replace(annotation, notices=(*annotation.notices, _split_notice(places)))
    paths = [printable(name) for name in files]
    images = annotate(f"folder:{location}", FolderReader(root, files), columns, paths, annotation)
    return replace(images, roles=roles)


def _existing(root: Path, name: str) -> str:
    """A listed name; with backslashes as separators only if there is no such file under its own name."""
    if "\\" not in name or (root / name).is_file():
        return name
    return name.replace("\\", "/")


def _from_sub_folders(
    root: Path, annotation: Annotation, level: int
) -> tuple[list[str], dict[str, Column], Annotation]:
    """Files, columns and annotation; the folders at `level` (from 0) name the classes."""
    found = find_files(root)
    images = found.images
    if not images:
        others = found.others
        rest = (
            f"; other files in it: {len(others)}, the first {printable(str(others[0]))}"
            if others
            else " and no other file"
        )
        raise NoImages(f"{root} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}){rest}")
    if level == 0:
        _refuse_splits(root, sorted({path.parts[0] for path in images if len(path.parts) > 1}))
    names = {path.parts[level] for path in images if len(path.parts) > level + 1}
    tops = in_class_order(printable(name) for name in names)
    columns: dict[str, Column] = {}
    if tops:
        labels = [printable(path.parts[level]) if len(path.parts) > level + 1 else "" for path in images]
        columns["label"] = np.array(labels, dtype=np.str_)
        if annotation.label_map is None and not annotation.class_names:
            annotation = replace(annotation, class_names=tuple(tops))
    inner = [
        printable(str(Path(*path.parts[level + 1 : -1]))) if len(path.parts) > level + 2 else ""
        for path in images
    ]
    if any(inner):
        columns["folder"] = np.array(inner, dtype=np.str_)
    annotation = replace(annotation, notices=(*annotation.notices, *_notices(found)))
    return [path.as_posix() for path in images], columns, annotation


def _notices(found: FoundFiles) -> list[Notice]:
    notices = []
    if found.others:
        first = printable(str(found.others[0]))
        notices.append(
            Notice(
                "files-ignored",
                f"ignored, since they are no images: {len(found.others)} files, the first {first}",
            )
        )
    if found.dead_links:
        first = printable(str(found.dead_links[0]))
        notices.append(
            Notice(
                "links-ignored",
                f"ignored, since they lead to nothing or back to a folder above: {len(found.dead_links)} "
                f"links, the first {first}",
            )
        )
    return notices


def _refuse_splits(root: Path, tops: Sequence[str]) -> None:
    """`UnreadableSource` if the sub-folders are splits, in any usual spelling, and no classes."""
    splits = {name: split for name in tops if (split := role_of(name)) is not None}
    if not splits or (len(splits) < len(tops) and len(set(splits.values())) < 2):
        return
    first = next(iter(splits))
    raise UnreadableSource(
        f"the sub-folders of {root} are splits ({', '.join(map(printable, splits))}), not classes: name one, "
        f"for example folder:{printable(str(root / first))}, or use them as they are with --splits folders"
    )


def _split_notice(paths: Sequence[PurePath]) -> Notice:
    """Which folder is read as which split."""
    names = sorted({path.parts[0] for path in paths})
    read = ", ".join(f"{printable(name)} = {role_of(name)}" for name in names)
    return Notice("split-folders", f"folders read as splits: {read}", "info")
