"""Detection of a model whose outputs are in another order than the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.scores import IntArray
from trainer.errors import RunError
from trainer.scoring.split_scores import SplitScores

LEAST_ACCURACY = 0.6
"""Accuracy that another order of the outputs must reach to be the right one"""
MOST_KEPT = 0.5
"""Share of that accuracy up to which the given order is the wrong one"""


class WrongClassOrder(RunError):
    """The outputs of the model are in another order than the classes."""


def check_class_order(select: SplitScores, classes: Sequence[str]) -> None:
    """Raise `WrongClassOrder` if the last stage is right far more often in another order of its outputs.

    Reads labels of val_select only. The best order is the assignment of outputs to classes with the most
    right answers (the Hungarian method on the confusion matrix).
    """
    if len(select) == 0:
        return
    answers = select.stages[-1].logits.argmax(axis=1)
    given = float(np.mean(answers == select.labels))
    best = best_accuracy(answers, select.labels, len(classes))
    if best < LEAST_ACCURACY or given > MOST_KEPT * best:
        return
    _, names = linear_sum_assignment(_confusion(answers, select.labels, len(classes)), maximize=True)
    order = ",".join(classes[name] for name in names)
    raise WrongClassOrder(
        f"the model's outputs are in another class order than its labels: on val_select {100 * given:.0f} % "
        f"are right in the order {','.join(classes)}, and {100 * best:.0f} % in the order {order}. Name the "
        f"classes in the order of the outputs: --class-names {order}"
    )


def best_accuracy(outputs: IntArray, labels: IntArray, classes: int) -> float:
    """Share of right answers in the best order of the outputs; 0 without images. Both [n]."""
    if len(labels) == 0:
        return 0.0
    counts = _confusion(outputs, labels, classes)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))


def _confusion(outputs: IntArray, labels: IntArray, classes: int) -> IntArray:
    """[outputs, labels], number of images"""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (outputs, labels), 1)
    return counts
