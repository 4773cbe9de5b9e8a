"""Scores of one stage on labelled images, as the exact tests read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from numpy.typing import ArrayLike

from calibration.inputs import read_answers, read_scores
from calibration.scores import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class StageScores:
    """Confidence, error and label of one stage on n images; [n] each."""

    confidence: FloatArray
    wrong: BoolArray
    """The most probable label is not the true one"""
    answer: IntArray
    """The label that the stage would give; 0 if it was not given to `read`"""

    @classmethod
    def read(
        cls,
        confidence: ArrayLike,
        errors: ArrayLike,
        answer: ArrayLike | None = None,
        classes: int = 2,
        stage: str = "",
    ) -> Self:
        """confidence, errors and answer [n], answer in 0..classes-1; `stage` ends the names in messages.

        ValueError for malformed arrays.
        """
        scores, wrong = read_scores(confidence, errors, stage)
        return cls(scores, wrong, read_answers(answer, len(scores), classes, f"answer{stage}"))

    def __len__(self) -> int:
        return len(self.confidence)

    def take(self, rows: IntArray | BoolArray) -> Self:
        """The same stage on some of the images."""
        return type(self)(self.confidence[rows], self.wrong[rows], self.answer[rows])
