"""Class shares of a promise by the names of the classes, and the selection images that plan for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.certificate import ClassShares
from calibration.exact.prevalence import Prevalence, draw_key, draw_size, draw_world
from calibration.scores import BoolArray, IntArray
from trainer.errors import RunError


def class_shares(shares: ClassShares, classes: Sequence[str]) -> Prevalence:
    """The promised shares; `RunError` if they do not fit the classes, or have too many corners."""
    try:
        prevalence = Prevalence.of(shares, classes)
        prevalence.corners()
    except ValueError as error:
        raise RunError(str(error)) from None
    return prevalence


def planning_rows(
    labels: IntArray, wrong: BoolArray, prevalence: Prevalence, n_calibration: int, seed: int
) -> tuple[IntArray, int]:
    """(selection rows, calibration units) for which a path is planned: those of the worst corner.

    labels, wrong [n] of the selection images. The rows are a sample of the corner at which most images are
    wrong; the units are the fewest of any corner, if the calibration split has the classes of the selection
    split. All rows if a class is missing in them.
    """
    classes = len(prevalence.classes)
    counts = np.bincount(labels, minlength=classes)
    if (counts == 0).any():
        return np.arange(len(labels)), n_calibration
    rates = np.bincount(labels, weights=wrong, minlength=classes) / counts
    corners = prevalence.corners()
    expected = np.floor(counts * n_calibration / len(labels))
    units = min(draw_size(expected, corner) for corner in corners)
    worst = corners[int((corners @ rates).argmax())].tolist()
    rows = draw_world(labels, worst, draw_key(seed, "val_select", labels)).rows
    if rows is None or len(rows) == 0:
        return np.arange(len(labels)), n_calibration
    return np.sort(rows), units
