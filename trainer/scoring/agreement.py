"""Agreement of a faster engine or precision with full precision, before it is certified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.metrics.classification import mcc
from trainer.errors import RunError
from trainer.scoring.split_scores import SplitScores


@dataclass(frozen=True, slots=True)
class Agreement:
    """Labels of one engine and precision against the run's own on one split, with every image answered."""

    key: str
    images: int
    labels: float
    """Share of the images that get the same label from the last stage"""
    mcc: float
    mcc_full: float
    """MCC of the run's own engine and precision"""

    def sentence(self) -> str:
        return (
            f"{self.key}: {100 * self.labels:.2f} % of {self.images:,} images get the same label, "
            f"MCC {self.mcc:.3f} (full precision {self.mcc_full:.3f})"
        )


def agreement(scores: SplitScores, full: SplitScores) -> Agreement:
    """Compare two sets of scores of the same split; `RunError` if it has no images."""
    if scores.digest != full.digest:
        raise ValueError(f"{scores.split} and {full.split} are not the scores of one split")
    if len(scores) == 0:
        raise RunError(
            f"{scores.split} is empty, so nothing tells whether {scores.engine} decides as {full.engine}; "
            "train with more images, or certify the run's own engine and precision only"
        )
    ours, theirs = (table.stages[-1].logits.argmax(axis=-1) for table in (scores, full))
    return Agreement(
        key=scores.engine,
        images=len(scores),
        labels=float(np.mean(ours == theirs)),
        mcc=mcc(full.labels, ours),
        mcc_full=mcc(full.labels, theirs),
    )
