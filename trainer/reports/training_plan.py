"""What a run would do, as `demur train --dry-run` and `demur wrap --dry-run` report it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from trainer.certify.split_reach import SplitReach
from trainer.data.group_questions import GroupQuestion
from trainer.data.grouping import open_questions
from trainer.data.images import ImageSource, Notice
from trainer.data.splits import Splits


@dataclass(frozen=True, slots=True)
class PlannedData:
    """The images and their splits."""

    source: str
    images: int
    """Usable ones"""
    dropped: int
    classes: tuple[str, ...]
    per_class: tuple[int, ...]
    group: str | None
    splits: dict[str, dict[str, int]]
    """Split name -> {"images", "units"}"""
    questions: tuple[GroupQuestion, ...]
    """Columns that may be groups, without an answer"""
    notices: tuple[str, ...]

    @classmethod
    def of(
        cls, source: ImageSource, splits: Splits, dropped: Sequence[str], notices: Sequence[Notice]
    ) -> Self:
        counts = np.bincount(source.labels, minlength=len(source.class_names))
        return cls(
            source=source.name,
            images=len(source),
            dropped=len(dropped),
            classes=source.class_names,
            per_class=tuple(counts.tolist()),
            group=source.group_column,
            splits={name: {"images": len(rows), "units": splits.units[name]} for name, rows in splits},
            questions=open_questions(source),
            notices=tuple(notice.message for notice in (*source.notices, *notices)),
        )


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage that would be trained."""

    name: str
    model: str
    image_size: int
    epochs: int
    """Largest number; the time budget may end training before"""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A run up to its first step."""

    data: PlannedData
    reach: SplitReach
    minutes: float | None = None
    """Planned minutes of training; None if nothing is trained"""
    stages: tuple[PlannedStage, ...] = ()

    def lines(self) -> Iterator[str]:
        """The plan beside what was said on the way, one line each."""
        for stage in self.stages:
            yield (
                f"Stage {stage.name}: {stage.model}, {stage.image_size} x {stage.image_size} pixels, at most "
                f"{stage.epochs} epochs"
            )
        if self.minutes is not None:
            yield f"Minutes of training: {self.minutes:g}"
        yield "Nothing was trained or written, and no delta was charged."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "data": asdict(self.data)
            | {"questions": [question.to_dict() for question in self.data.questions]},
            "reach": self.reach.to_dict(),
            "minutes": self.minutes,
            "stages": [asdict(stage) for stage in self.stages],
        }
