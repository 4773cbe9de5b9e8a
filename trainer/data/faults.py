"""One report of all faults of the data, before any training starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bundle.images.preprocess import PreprocessSpec
from calibration.scores import BoolArray, IntArray
from trainer.data.annotate import is_present
from trainer.data.duplicates import exact_copies
from trainer.data.folder_splits import shared_groups, shared_sentence
from trainer.data.images import UNLABELLED, ImageSource, UnknownColumn
from trainer.data.pixels import Pixels, load_pixels
from trainer.errors import DataError

SKEWED = 0.8
"""Share of one class from which accuracy is a poor measure."""
EXAMPLES = 3
"""File names quoted per fault."""

Severity = Literal["drops", "blocks", "omits", "warns"]
"""`drops`: training refuses, or continues without these images under skip_bad. `blocks`: no training.
`omits`: training continues without these images; reported and recorded. `warns`: reported and recorded."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault, with all images that have it."""

    kind: str
    """Stable: image, label, copies, metadata, no-labels, one-class, skewed, rare-class, too-few-units,
    splits, split-groups or split-copies."""
    severity: Severity
    message: str
    rows: IntArray
    """Rows of the source; empty for a fault of the set as a whole"""
    examples: tuple[str, ...] = ()
    """The first few, each as "path: reason"."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the count instead of every row."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "count": len(self.rows),
            "examples": list(self.examples),
        }


@dataclass(frozen=True, slots=True)
class FaultReport:
    """Every fault of one source."""

    source: str
    images: int
    faults: tuple[Fault, ...]

    @property
    def droppable(self) -> BoolArray:
        """[n], the images that skip_bad leaves out."""
        return self._rows("drops")

    @property
    def unused(self) -> BoolArray:
        """[n], the images that a run leaves out, if it continues."""
        return self._rows("drops", "omits")

    def _rows(self, *severities: Severity) -> BoolArray:
        rows = np.zeros(self.images, dtype=np.bool_)
        for fault in self.faults:
            if fault.severity in severities:
                rows[fault.rows] = True
        return rows

    def stops(self, *, skip_bad: bool) -> bool:
        """Whether training must not start."""
        stopping = ("blocks",) if skip_bad else ("blocks", "drops")
        return any(fault.severity in stopping for fault in self.faults)

    def lines(self) -> list[str]:
        """The report as text, one line per fault and per example."""
        lines = []
        for fault in self.faults:
            lines.append(fault.message)
            lines += [f"    {example}" for example in fault.examples]
        return lines

    def to_dict(self, *, dropped_paths: Sequence[str] = ()) -> dict[str, Any]:
        """Plain JSON values; `dropped_paths`: the images that the run left out."""
        return {
            "source": self.source,
            "images": self.images,
            "faults": [fault.to_dict() for fault in self.faults],
            "dropped": list(dropped_paths),
        }


class FaultyData(DataError):
    """Training must not start on this data; holds the whole report."""

    def __init__(self, report: FaultReport, *, skip_bad: bool) -> None:
        skippable = int(report.droppable.sum())
        way_out = "" if skip_bad or not skippable else f" (--skip-bad goes on without {skippable} of them)"
        super().__init__(
            "\n".join([f"{report.source}: {report.images} images{way_out}, with faults:", *report.lines()])
        )
        self.report = report


@dataclass(frozen=True)
class PreparedData:
    """A source with every image decoded and usable."""

    source: ImageSource
    pixels: Pixels
    report: FaultReport
    dropped: tuple[str, ...]
    """Paths of the images that are left out: unusable ones under skip_bad, and repeated ones"""


def prepare(
    source: ImageSource,
    specs: Sequence[PreprocessSpec],
    *,
    features: Sequence[str] = (),
    splits: int = 4,
    skip_bad: bool = False,
    cache: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> PreparedData:
    """Decode every image, find all faults at once, and return the usable images.

    `features`: metadata columns that a model reads, so that a gap in them is a fault. `splits`: number of
    splits that need a unit each. Raises `FaultyData` with the whole report if training must not start.
    """
    pixels = load_pixels(source, specs, cache=cache, advance=advance)
    report = find_faults(source, pixels.faults, content=pixels.content, features=features, splits=splits)
    if report.stops(skip_bad=skip_bad):
        raise FaultyData(report, skip_bad=skip_bad)
    bad = report.unused
    if not bad.any():
        return PreparedData(source, pixels, report, ())
    good = np.flatnonzero(~bad)
    dropped = tuple(source.paths[row] for row in np.flatnonzero(bad).tolist())
    return PreparedData(source.take(good), pixels.take(good), report, dropped)


def find_faults(
    source: ImageSource,
    image_faults: Mapping[int, str],
    *,
    content: Sequence[str] = (),
    features: Sequence[str] = (),
    splits: int = 4,
) -> FaultReport:
    """All faults of a source; `image_faults`: those found by decoding (`Pixels.faults`).

    `content`: [n], digests of the encoded images; if empty, copies are not searched.
    """
    faults = [*_row_faults(source, image_faults, features)]
    faults += _copies(source, content, faults)
    usable = np.ones(len(source), dtype=np.bool_)
    for fault in faults:
        usable[fault.rows] = False
    faults += _gaps(source, features)
    faults += _across_folders(source, content)
    faults += _set_faults(source, usable, splits)
    return FaultReport(source.name, len(source), tuple(faults))


def _row_faults(
    source: ImageSource, image_faults: Mapping[int, str], features: Sequence[str]
) -> Iterator[Fault]:
    n = len(source)
    if image_faults:
        yield _of_rows(
            source, "image", f"images that cannot be read: {len(image_faults)} of {n}", image_faults
        )
    if source.label_faults:
        message = f"labels that cannot be used: {len(source.label_faults)} of {n}"
        yield _of_rows(source, "label", message, source.label_faults)
    for name in features:
        if name in source.refused:
            raise UnknownColumn(f"{name!r} cannot be a feature: {source.refused[name].reason}")
        if name not in source.metadata:
            raise UnknownColumn(
                f"there is no feature column {name!r}; the columns are {', '.join(sorted(source.metadata))}"
            )
        gaps = np.flatnonzero(~is_present(source.metadata[name])).tolist()
        if gaps:
            message = f"images without the feature {name!r}, missing or NaN: {len(gaps)} of {n}"
            yield _of_rows(source, "metadata", message, dict.fromkeys(gaps, f"no {name}"))


def _copies(source: ImageSource, content: Sequence[str], before: Sequence[Fault]) -> Iterator[Fault]:
    """Files that repeat another: they add no evidence, and are a leak if they are in two splits."""
    contradicting: dict[int, str] = {}
    repeated: dict[int, str] = {}
    dropped = {int(row) for fault in before for row in fault.rows}
    for equal in exact_copies(np.asarray(content, dtype=np.str_)) if len(content) else ():
        rows = [row for row in equal.tolist() if row not in dropped]
        if len(np.unique(source.labels[rows])) > 1:
            others = {row: next(r for r in rows if source.labels[r] != source.labels[row]) for row in rows}
            contradicting |= {row: f"equal to {source.paths[other]}" for row, other in others.items()}
        else:
            repeated |= {row: f"equal to {source.paths[first]}" for first in rows[:1] for row in rows[1:]}
    if contradicting:
        message = f"equal files with different labels: {len(contradicting)} of {len(source)}"
        yield _of_rows(source, "label", message, contradicting)
    if repeated:
        message = f"files that repeat another, left out so that each counts once: {len(repeated)} of "
        yield replace(
            _of_rows(source, "copies", f"{message}{len(source)}", repeated),
            severity="omits",
        )


def _of_rows(source: ImageSource, kind: str, message: str, faults: Mapping[int, str]) -> Fault:
    rows = np.array(sorted(faults), dtype=np.int64)
    examples = tuple(f"{source.paths[row]}: {faults[row]}" for row in rows[:EXAMPLES].tolist())
    return Fault(kind, "drops", message, rows, examples)


def _gaps(source: ImageSource, features: Sequence[str]) -> Iterator[Fault]:
    """Missing values in columns that no model reads; slices and reports lose these images."""
    for name, column in source.metadata.items():
        gaps = np.flatnonzero(~is_present(column))
        if name in features or not len(gaps):
            continue
        yield Fault(
            "metadata",
            "warns",
            f"images without a value of {name!r}, missing or NaN: {len(gaps)} of {len(source)}",
            gaps,
            tuple(source.paths[row] for row in gaps[:EXAMPLES].tolist()),
        )


def _across_folders(source: ImageSource, content: Sequence[str]) -> Iterator[Fault]:
    """Groups and files in several of the folders that are used as splits."""
    if source.roles is None:
        return
    shared = shared_groups(source.groups, source.roles)
    if shared and source.groups is not None:
        rows = np.flatnonzero(np.isin(source.groups, list(shared)))
        yield Fault("split-groups", "blocks", shared_sentence(shared), rows)
    pairs = [
        rows
        for rows in (exact_copies(np.asarray(content, dtype=np.str_)) if len(content) else ())
        if len(np.unique(source.roles[rows])) > 1
    ]
    if pairs:
        yield Fault(
            "split-copies",
            "warns",
            f"files that are in several split folders: {len(pairs)}; each is used once, in the first of them",
            np.concatenate(pairs),
            tuple(" = ".join(source.paths[row] for row in rows[:3].tolist()) for rows in pairs[:EXAMPLES]),
        )


def _set_faults(source: ImageSource, usable: BoolArray, splits: int) -> Iterator[Fault]:
    nothing = np.zeros(0, dtype=np.int64)
    if not source.labelled:
        yield Fault(
            "no-labels", "blocks", "no image has a label: name the label column with --label-column", nothing
        )
        return
    usable = usable & (source.labels != UNLABELLED)
    unit = "images" if source.groups is None else "groups"
    units = _count_units(source, usable)
    if units < splits:
        message = f"usable {unit}: {units}, for {splits} splits that need at least one each"
        yield Fault("too-few-units", "blocks", message, nothing)
    held = {
        name: _count_units(source, usable & (source.labels == k)) for k, name in enumerate(source.class_names)
    }
    present = [name for name, count in held.items() if count]
    if len(present) < 2:
        only = f"all usable images are of class {present[0]!r}" if present else "no usable image has a class"
        yield Fault("one-class", "blocks", f"{only}: at least two classes are needed", nothing)
        return
    yield from _skew(source, usable)
    for name, count in held.items():
        if count == 0:
            yield Fault("rare-class", "warns", f"no usable image is of class {name!r}", nothing)
        elif count < splits:
            message = f"usable {unit} of class {name!r}: {count}, so some of {splits} splits will not see it"
            yield Fault("rare-class", "warns", message, nothing)


def _skew(source: ImageSource, usable: BoolArray) -> Iterator[Fault]:
    """A set with one frequent class, for which always answering that class looks good."""
    counts = np.bincount(source.labels[usable], minlength=len(source.class_names))
    share = float(counts.max() / counts.sum())
    if share >= SKEWED:
        yield Fault(
            "skewed",
            "warns",
            f"{100 * share:.0f} % of the usable images are of class {source.class_names[counts.argmax()]!r}: "
            "always answering that has this accuracy and an MCC of 0; judge by the balanced MCC",
            np.zeros(0, dtype=np.int64),
        )


def _count_units(source: ImageSource, rows: BoolArray) -> int:
    return int(rows.sum()) if source.groups is None else len(np.unique(source.groups[rows]))
