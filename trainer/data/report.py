"""The report of `demur data`: content and faults of a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from calibration.certificate import RiskTarget
from calibration.scores import IntArray
from trainer.data.annotate import is_present
from trainer.data.duplicates import Fingerprints, exact_copies, fingerprints, near_copies
from trainer.data.faults import Fault, find_faults
from trainer.data.file_names import in_name_order
from trainer.data.folder_splits import mapping_sentence, splits_by_role
from trainer.data.group_questions import GroupQuestion
from trainer.data.grouping import open_questions, open_signs
from trainer.data.images import UNLABELLED, Column, ImageSource, Notice, StrArray, row_units
from trainer.data.labels import numbers_or_texts
from trainer.data.leaks import Leak, find_leaks
from trainer.data.splits import SPLIT_NAMES, CalibrationNeed, SplitError, make_splits

MOST_SLICES = 12
"""Distinct values up to which the class balance of a column is reported per value."""
SLICE_COLUMNS = 8
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """The class balance among the images with one value of one column."""

    column: str
    value: str
    images: int
    per_class: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupSizes:
    """Numbers of images per group."""

    column: str
    groups: int
    smallest: int
    median: float
    largest: int
    per_class: tuple[int, ...]
    """Groups that hold an image of each class"""


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies and near-copies of images."""

    exact_sets: int
    exact_images: int
    """Images beyond the first of each set of equal files"""
    exact_examples: tuple[str, ...]
    conflicting_labels: int
    """Sets of equal files with different labels"""
    near_images: int
    """Images with a near-copy in another group (anywhere, without groups)"""
    near_examples: tuple[str, ...]
    near_across_splits: int
    """Images with a near-copy in another split of the default splits"""
    near_neighbours: int
    """Images with a near-copy whose file name is the next or the one before, as in a burst"""
    neighbour_example: str


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """One of the default splits."""

    name: str
    units: int
    images: int
    per_class: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything that `demur data` reports."""

    source: str
    images: int
    class_names: tuple[str, ...]
    per_class: tuple[int, ...]
    groups: GroupSizes | None
    questions: tuple[GroupQuestion, ...]
    """Columns that may be groups, if none is named"""
    signs: tuple[str, ...]
    """What pictures and names show of series beside them"""
    slices: tuple[Slice, ...]
    splits: tuple[SplitPlan, ...]
    mapping: str | None
    """How folders become splits; None if the splits are drawn"""
    copies: Copies
    leaks: tuple[Leak, ...]
    faults: tuple[Fault, ...]
    notices: tuple[Notice, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = asdict(self)
        values["faults"] = [fault.to_dict() for fault in self.faults]
        values["questions"] = [question.to_dict() for question in self.questions]
        return values


def describe(
    source: ImageSource,
    *,
    target: RiskTarget | None = None,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> DataReport:
    """Report on a whole source: counts, balance, groups, copies, leaks, faults.

    Decodes every image once, at a small size. `target` and `seed` define the splits across which copies are
    counted. `advance` gets the number of images just done.
    """
    prints = fingerprints(source, advance=advance)
    faults = find_faults(source, prints.faults, content=prints.content.tolist()).faults
    names = None
    try:
        names = _split(source, prints, target or RiskTarget(), seed)
    except SplitError as error:
        # Too few units and groups in several folders are among the faults already.
        if source.roles is not None and not any(fault.severity == "blocks" for fault in faults):
            faults += (Fault("splits", "blocks", str(error), np.zeros(0, dtype=np.int64)),)
    return DataReport(
        source=source.name,
        images=len(source),
        class_names=source.class_names,
        per_class=_per_class(source, source.labels),
        groups=_groups(source),
        questions=open_questions(source),
        signs=open_signs(source),
        slices=tuple(_slices(source)),
        splits=() if names is None else tuple(_plan(source, names)),
        mapping=None if names is None or source.roles is None else mapping_sentence(source.roles, names),
        copies=_copies(source, prints, names),
        leaks=tuple(find_leaks(source)),
        faults=faults,
        notices=source.notices,
    )


def _per_class(source: ImageSource, labels: IntArray) -> tuple[int, ...]:
    known = labels[labels != UNLABELLED]
    return tuple(np.bincount(known, minlength=len(source.class_names)).tolist()) if source.labelled else ()


def _groups(source: ImageSource) -> GroupSizes | None:
    if source.groups is None or source.group_column is None:
        return None
    sizes = np.unique(source.groups, return_counts=True)[1]
    holding = [len(np.unique(source.groups[source.labels == k])) for k in range(len(source.class_names))]
    return GroupSizes(
        column=source.group_column,
        groups=len(sizes),
        smallest=int(sizes.min()),
        median=float(np.median(sizes)),
        largest=int(sizes.max()),
        per_class=tuple(holding),
    )


def _slices(source: ImageSource) -> list[Slice]:
    """Class balance by value, for the columns with the fewest values, and by quartile for numbers."""
    columns = {name: numbers_or_texts(column) for name, column in source.metadata.items()}
    counted = {name: len(np.unique(column)) for name, column in columns.items()}
    sliced = [
        name
        for name, count in sorted(counted.items(), key=lambda item: item[1])
        if name != source.group_column and count >= 2 and _can_slice(columns[name], count)
    ]
    return [
        part
        for name in sliced[:SLICE_COLUMNS]
        for part in _slices_of(source, name, columns[name], counted[name])
    ]


def _can_slice(column: Column, count: int) -> bool:
    return count <= MOST_SLICES or column.dtype.kind != "U"


def _slices_of(source: ImageSource, name: str, column: Column, count: int) -> list[Slice]:
    present = is_present(column)
    parts: list[tuple[str, np.ndarray]] = []
    if count <= MOST_SLICES:
        parts = [(str(value), column == value) for value in np.unique(column[present])]
    else:
        edges = np.unique(np.quantile(column[present].astype(np.float64), [0.0, 0.25, 0.5, 0.75, 1.0]))
        quarter = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, max(0, len(edges) - 2))
        for index in range(max(1, len(edges) - 1)):
            inside = present & (quarter == index)
            if inside.any():
                parts.append((f"{column[inside].min():.4g} to {column[inside].max():.4g}", inside))
    if not present.all():
        parts.append(("missing", ~present))
    return [
        Slice(name, value, int(rows.sum()), _per_class(source, source.labels[rows])) for value, rows in parts
    ]


def _split(source: ImageSource, prints: Fingerprints, target: RiskTarget, seed: int) -> StrArray:
    """[n], the split of each usable image in a training run, "" for others. Raises `SplitError`."""
    usable = source.labels != UNLABELLED
    usable[list(prints.faults)] = False
    rows = np.flatnonzero(usable)
    groups = None if source.groups is None else source.groups[rows]
    labels, need, ids = source.labels[rows], CalibrationNeed(target), prints.content[rows].tolist()
    if source.roles is None:
        splits = make_splits(labels, groups, need, seed=seed, ids=ids)
    else:
        splits = splits_by_role(labels, groups, source.roles[rows], need, seed=seed, ids=ids)
    names = np.zeros(len(source), dtype=splits.names.dtype)
    names[rows] = splits.names
    return names


def _plan(source: ImageSource, names: StrArray) -> list[SplitPlan]:
    units = row_units(source)
    return [
        SplitPlan(name, len(np.unique(units[rows])), int(rows.sum()), _per_class(source, source.labels[rows]))
        for name in SPLIT_NAMES
        for rows in [names == name]
    ]


def _copies(source: ImageSource, prints: Fingerprints, names: StrArray | None) -> Copies:
    exact = exact_copies(prints.content)
    near = near_copies(prints, row_units(source))
    beside = _beside(source, near)
    crossing = 0
    if names is not None and len(near):
        one, two = names[near[:, 0]], names[near[:, 1]]
        crossing = len(np.unique(near[(one != two) & (one != "") & (two != "")]))
    return Copies(
        exact_sets=len(exact),
        exact_images=sum(len(rows) - 1 for rows in exact),
        exact_examples=tuple(
            " = ".join(source.paths[row] for row in rows[:3].tolist()) for rows in exact[:EXAMPLES]
        ),
        conflicting_labels=sum(len(np.unique(source.labels[rows])) > 1 for rows in exact),
        near_images=len(np.unique(near)),
        near_examples=tuple(_near_examples(source, near)),
        near_across_splits=crossing,
        near_neighbours=len(np.unique(beside)),
        neighbour_example=" ~ ".join(source.paths[row] for row in beside[:1].ravel().tolist()),
    )


def _beside(source: ImageSource, pairs: IntArray) -> IntArray:
    """The pairs [pairs, 2] whose file names are neighbours."""
    order = in_name_order(source.paths)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return np.asarray(pairs[np.abs(place[pairs[:, 0]] - place[pairs[:, 1]]) == 1])


def _near_examples(source: ImageSource, near: IntArray) -> list[str]:
    """The pairs of groups that share the most near-copies; without groups, the first pairs of images."""
    if source.groups is None:
        return [f"{source.paths[one]} ~ {source.paths[two]}" for one, two in near[:EXAMPLES].tolist()]
    pairs = [f"{source.groups[one]} ~ {source.groups[two]}" for one, two in near.tolist()]
    names, counts = np.unique(np.array(pairs, dtype=np.str_), return_counts=True)
    return [
        f"{names[i]} (pairs: {counts[i]})" for i in np.argsort(-counts, kind="stable")[:EXAMPLES].tolist()
    ]
