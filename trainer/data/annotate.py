"""Labels, groups and metadata from the columns beside the images, alike for every source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from calibration.scores import BoolArray
from trainer.data.file_names import name_columns
from trainer.data.images import (
    UNLABELLED,
    Column,
    ImageReader,
    ImageSet,
    LeakyColumn,
    Notice,
    RefusedColumn,
    StrArray,
    UnknownColumn,
)
from trainer.data.labels import Labels, as_text, read_labels

LONGEST_TEXT = 256
"""Characters; columns with longer texts are prose and are left out of groups, slices and reports."""

REFUSED = {
    "scene_description": "it is filled in for one class and empty for the other, so whether it is there "
    "gives the label away, and no such text exists when the service decides"
}
"""Columns of the roadwork data set that must not be used, with the reason."""

ROADWORK_GROUPS = ("video_info.vid_id", "video_info.seq_id")
"""Group columns of the roadwork data set: the video, else the sequence, whose frames are near-copies."""

NO_GROUPS = "none"
"""The group that says that every image stands alone"""


@dataclass(frozen=True, slots=True)
class Annotation:
    """How to read the columns beside the images."""

    group: str | None = None
    """A column, or one that the file names give (`name_columns`), or `NO_GROUPS`; None: not said"""
    label_column: str | None = None
    """None: `label` if there is such a column, otherwise the source has no labels."""
    class_names: tuple[str, ...] = ()
    label_map: Mapping[str, int] | None = None
    classes: int = 2
    """Number of classes of a column of whole numbers without names."""
    notices: tuple[Notice, ...] = field(default=())


def annotate(
    name: str,
    reader: ImageReader,
    columns: Mapping[str, Column],
    paths: Sequence[str],
    annotation: Annotation,
) -> ImageSet:
    """Assemble an `ImageSet`; `DataError` if a named column does not exist or must not be used."""
    label_column = _label_column(columns, annotation)
    refused = {
        key: RefusedColumn(reason, is_present(columns[key]))
        for key, reason in REFUSED.items()
        if key in columns
    }
    others = {key: column for key, column in columns.items() if key not in refused and key != label_column}
    metadata = {key: column for key, column in others.items() if not _is_prose(column)}
    metadata = _with_name_column(metadata, annotation.group, paths)
    group_column = _group_column(metadata, refused, annotation.group)
    groups, group_notices = _groups(metadata, group_column, by_default=annotation.group is None)
    labels = _labels(columns, label_column, annotation)
    notices = [*annotation.notices, *group_notices]
    if groups is not None and group_column is not None:
        notices += alike_but_for_blanks(group_column, groups.tolist())
    if labels is not None and label_column is not None:
        notices += alike_but_for_blanks(label_column, labels.class_names)
    if len(metadata) < len(others):
        prose = ", ".join(sorted(set(others) - set(metadata)))
        notices.append(Notice("prose-left-out", f"left out as free text: {prose}", "info"))
    if labels is None:
        message = f"{name} has no labels: it can be predicted, not learned"
        notices.append(Notice("unlabelled", message, "info"))
    return ImageSet(
        name=name,
        reader=reader,
        labels=np.full(len(paths), UNLABELLED, dtype=np.int64) if labels is None else labels.indices,
        class_names=() if labels is None else labels.class_names,
        paths=paths,
        groups=groups,
        group_column=group_column,
        metadata=metadata,
        notices=tuple(notices),
        refused=refused,
        label_faults={} if labels is None else labels.faults,
    )


def alike_but_for_blanks(column: str, names: Iterable[str]) -> tuple[Notice, ...]:
    """A notice on names that differ only in blanks at their ends; they stay different names."""
    spellings: dict[str, set[str]] = {}
    for name in set(names):
        spellings.setdefault(name.strip(), set()).add(name)
    several = sorted(sorted(found) for found in spellings.values() if len(found) > 1)
    if not several:
        return ()
    first = " and ".join(map(repr, several[0]))
    return (
        Notice(
            "names-alike",
            f"{len(several)} name(s) of {column!r} are written with and without blanks at their ends, for "
            f"example {first}: they count as different names. Mend the data if they are meant to be one",
        ),
    )


def is_present(column: Column) -> BoolArray:
    """[n], False if the value is missing (NaN or "")."""
    if column.dtype.kind == "f":
        return np.asarray(~np.isnan(column), dtype=np.bool_)
    if column.dtype.kind == "U":
        return np.asarray(column != "", dtype=np.bool_)
    return np.ones(len(column), dtype=np.bool_)


def _is_prose(column: Column) -> bool:
    return column.dtype.kind == "U" and column.dtype.itemsize // 4 > LONGEST_TEXT


def _label_column(columns: Mapping[str, Column], annotation: Annotation) -> str | None:
    if annotation.label_column is None:
        return "label" if "label" in columns else None
    if annotation.label_column in REFUSED:
        raise LeakyColumn(
            f"{annotation.label_column!r} cannot be the label: {REFUSED[annotation.label_column]}"
        )
    if annotation.label_column not in columns:
        raise UnknownColumn(
            f"there is no label column {annotation.label_column!r}; the columns are {_listed(columns)}"
        )
    return annotation.label_column


def _with_name_column(
    metadata: dict[str, Column], asked: str | None, paths: Sequence[str]
) -> dict[str, Column]:
    """The metadata, with the column that file names give if it is asked for and there is none of its name."""
    if asked is None or asked in metadata or asked not in (found := name_columns(paths)):
        return metadata
    return {**metadata, asked: found[asked]}


def _group_column(
    metadata: Mapping[str, Column], refused: Mapping[str, RefusedColumn], asked: str | None
) -> str | None:
    if asked == NO_GROUPS:
        return None
    if asked is None:
        return next((name for name in ROADWORK_GROUPS if name in metadata), None)
    if asked in refused:
        raise LeakyColumn(f"{asked!r} cannot be the group: {refused[asked].reason}")
    if asked not in metadata:
        raise UnknownColumn(f"there is no group column {asked!r}; the columns are {_listed(metadata)}")
    return asked


def _groups(
    metadata: Mapping[str, Column], group_column: str | None, *, by_default: bool
) -> tuple[StrArray | None, list[Notice]]:
    """Group names [n]; an image without one is a group of its own."""
    if group_column is None:
        return None, []
    column = metadata[group_column]
    notices = []
    if by_default:
        message = f"grouped by {group_column!r}, whose images are near-copies"
        notices.append(Notice("group-chosen", message, "info"))
    names = as_text(column).astype(object)
    alone = np.flatnonzero(~is_present(column)).tolist()
    for row in alone:
        names[row] = f"(none) {row}"
    if alone:
        message = f"images without {group_column!r}, each a group of its own: {len(alone)} of {len(column)}"
        notices.append(Notice("group-missing", message))
    return names.astype(np.str_), notices


def _labels(columns: Mapping[str, Column], label_column: str | None, annotation: Annotation) -> Labels | None:
    """None without a label column, or if it is empty."""
    if label_column is None or not is_present(columns[label_column]).any():
        return None
    return read_labels(
        columns[label_column],
        name=label_column,
        class_names=annotation.class_names,
        label_map=annotation.label_map,
        classes=annotation.classes,
    )


def _listed(columns: Mapping[str, Column]) -> str:
    return ", ".join(sorted(columns)) or "none"
