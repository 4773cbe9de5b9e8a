"""The types of a set of labelled images, which every data source produces."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from calibration.scores import BoolArray, IntArray
from trainer.errors import DataError
from trainer.run.console import NoticeLevel

StrArray = NDArray[np.str_]
Column = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.str_]
"""One metadata column, [n]; a missing value is NaN in a numeric column and "" in a text column."""

UNLABELLED = -1
"""Label of an image without a label."""


class SourceNotFound(DataError):
    """The name of the source is unknown, or its path does not exist."""


class AmbiguousSource(DataError):
    """The name of the source means two things here; the message spells both."""


class UnreadableSource(DataError):
    """The source exists, and its content cannot be read."""


class NoImages(DataError):
    """The source holds no image."""


class UnknownColumn(DataError):
    """The source has no column of this name."""


class LeakyColumn(DataError):
    """The column gives the label away by its mere presence."""


class BadLabels(DataError):
    """The label column cannot be turned into classes 0..K-1."""


class HubUnreachable(DataError):
    """The hub, or the data set on it, could not be reached."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that a user must see and that a bundle records."""

    code: str
    """Stable and short, for example `group-unused`."""
    message: str
    level: NoticeLevel = "warning"
    doubt: str = ""
    """What a certificate says as long as this question has no answer"""


@dataclass(frozen=True, slots=True)
class RefusedColumn:
    """A column that must not be a feature, a slice or a group."""

    reason: str
    present: BoolArray
    """[n], whether it has a value: the evidence for the refusal."""


class ImageReader(Protocol):
    """Access to the encoded images."""

    def read(self, row: int) -> bytes:
        """Encoded bytes of one image; `DataError` if there are none."""

    def digest(self) -> str:
        """sha256 over the bytes of all images."""


class ImageSource(Protocol):
    """Labelled or unlabelled images with metadata, as training, prediction and reports read them."""

    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]:
        """[K]; empty for a source without labels."""

    @property
    def labels(self) -> IntArray:
        """[n], values in 0..K-1; `UNLABELLED` without a usable label."""

    @property
    def groups(self) -> StrArray | None:
        """[n]; images of one group depend on each other. None: every image stands alone."""

    @property
    def group_column(self) -> str | None: ...
    @property
    def metadata(self) -> Mapping[str, Column]: ...
    @property
    def paths(self) -> Sequence[str]: ...
    @property
    def notices(self) -> tuple[Notice, ...]: ...
    @property
    def refused(self) -> Mapping[str, RefusedColumn]: ...
    @property
    def roles(self) -> StrArray | None:
        """[n], the split that its folder names: train, validation or test. None: splits are drawn."""

    @property
    def label_faults(self) -> Mapping[int, str]:
        """Row -> fault of its label."""

    @property
    def labelled(self) -> bool:
        """Whether the source has labels at all."""

    def __len__(self) -> int: ...
    def read(self, row: int) -> bytes:
        """Encoded bytes of one image; reading rows in ascending order is fastest."""

    def take(self, rows: IntArray) -> ImageSource:
        """The source reduced to these rows, in this order."""

    def digest(self) -> str:
        """sha256 over bytes, labels and groups."""


@dataclass(frozen=True)
class ImageSet:
    """The implementation of `ImageSource`: annotations beside a reader of bytes."""

    name: str
    reader: ImageReader
    labels: IntArray
    class_names: tuple[str, ...]
    paths: Sequence[str]
    groups: StrArray | None = None
    group_column: str | None = None
    metadata: Mapping[str, Column] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    refused: Mapping[str, RefusedColumn] = field(default_factory=dict)
    label_faults: Mapping[int, str] = field(default_factory=dict)
    roles: StrArray | None = None
    rows: IntArray | None = None
    """Rows of the reader that a reduced set holds; None for all."""

    @property
    def labelled(self) -> bool:
        return bool(self.class_names)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, row: int) -> bytes:
        return self.reader.read(row if self.rows is None else int(self.rows[row]))

    def with_notices(self, *notices: Notice) -> Self:
        return replace(self, notices=(*self.notices, *notices))

    def take(self, rows: IntArray) -> Self:
        position = {int(row): new for new, row in enumerate(rows)}
        return replace(
            self,
            labels=self.labels[rows],
            paths=[self.paths[int(row)] for row in rows],
            groups=None if self.groups is None else self.groups[rows],
            metadata={name: column[rows] for name, column in self.metadata.items()},
            refused={
                name: RefusedColumn(column.reason, column.present[rows])
                for name, column in self.refused.items()
            },
            label_faults={position[row]: why for row, why in self.label_faults.items() if row in position},
            roles=None if self.roles is None else self.roles[rows],
            rows=rows if self.rows is None else self.rows[rows],
        )

    def digest(self) -> str:
        whole = hashlib.sha256(self.reader.digest().encode())
        whole.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        whole.update("\n".join(self.class_names).encode())
        if self.groups is not None:
            whole.update("\n".join(self.groups.tolist()).encode())
        if self.roles is not None:
            whole.update("\n".join(self.roles.tolist()).encode())
        if self.rows is not None:
            whole.update(np.ascontiguousarray(self.rows, dtype="<i8").tobytes())
        return whole.hexdigest()


def row_units(source: ImageSource) -> IntArray:
    """[n], the number of the independent unit that each image belongs to: its group, or itself."""
    if source.groups is None:
        return np.arange(len(source), dtype=np.int64)
    return np.asarray(np.unique(source.groups, return_inverse=True)[1], dtype=np.int64)
