"""Metrics of forced answers, from the confusion matrix; two classes or more."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.scores import IntArray


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int | None = None) -> IntArray:
    """Counts [K, K]: row = true label, column = prediction.

    `labels` and `predictions` [n] hold 0..K-1; `classes` is K, by default the largest value plus one and at
    least 2.
    """
    true, predicted = _class_indices("labels", labels), _class_indices("predictions", predictions)
    if true.shape != predicted.shape:
        raise ValueError(f"labels has {len(true)} rows and predictions {len(predicted)}; they must agree")
    if len(true) == 0:
        raise ValueError("labels and predictions are empty; at least one row is needed")
    seen = int(max(true.max(), predicted.max())) + 1
    k = max(seen, 2) if classes is None else classes
    if seen > k:
        raise ValueError(f"a label or prediction is {seen - 1}; with {k} classes it must be below {k}")
    return np.bincount(true * k + predicted, minlength=k * k).reshape(k, k).astype(np.int64)


def mcc(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Matthews correlation coefficient, in [-1, 1]; 0 if labels or predictions hold one class only.

    For more than two classes Gorodkin's R_K (Comput. Biol. Chem. 28, 2004). Parameters as for
    `confusion_matrix`.
    """
    return confusion_mcc(confusion_matrix(labels, predictions))


def confusion_mcc(matrix: ArrayLike) -> float:
    """`mcc` from counts or shares `matrix` [K, K]; it is symmetric in rows and columns."""
    cells = np.asarray(matrix, dtype=np.float64)
    if cells.ndim != 2 or cells.shape[0] != cells.shape[1]:
        raise ValueError(f"matrix has shape {cells.shape}; it must be [K, K]")
    total = cells.sum()
    true, predicted = cells.sum(axis=1), cells.sum(axis=0)
    spread_true = total * total - true @ true
    spread_predicted = total * total - predicted @ predicted
    # Rounding may leave a tiny positive spread if only one class occurs.
    floor = 1e-12 * total * total
    if spread_true <= floor or spread_predicted <= floor:
        return 0.0
    covariance = total * np.trace(cells) - true @ predicted
    return float(np.clip(covariance / np.sqrt(spread_true * spread_predicted), -1.0, 1.0))


def balanced_mcc(labels: ArrayLike, predictions: ArrayLike) -> float:
    """`mcc` at equal frequencies of all classes that occur among the labels.

    Comparable between data sets of different prevalence; a constant prediction gets 0.
    """
    counts = confusion_matrix(labels, predictions).astype(np.float64)
    per_class = counts.sum(axis=1, keepdims=True)
    return confusion_mcc(np.divide(counts, per_class, out=np.zeros_like(counts), where=per_class > 0))


def recall(labels: ArrayLike, predictions: ArrayLike, positive: int = 1) -> float:
    """Share of the images of class `positive` that is predicted as such; NaN if there is none."""
    true, predicted = np.asarray(labels), np.asarray(predictions)
    return _share(predicted[true == positive] == positive)


def specificity(labels: ArrayLike, predictions: ArrayLike, positive: int = 1) -> float:
    """Share of the images of other classes that is not predicted as `positive`; NaN if there is none."""
    true, predicted = np.asarray(labels), np.asarray(predictions)
    return _share(predicted[true != positive] != positive)


def wilson_interval(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a share seen `hits` times in `n` (Wilson, JASA 22, 1927).

    For display beside a figure; a promise needs the exact bounds. (0, 1) if n is 0. Both are whole numbers,
    unless n is an effective sample size.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"hits is {hits} of n = {n}; it must lie between 0 and n")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must lie strictly between 0 and 1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1.0 + level) / 2)
    share, stretch = hits / n, z * z / n
    centre = (share + stretch / 2) / (1.0 + stretch)
    half = z * sqrt(share * (1.0 - share) / n + stretch / (4 * n)) / (1.0 + stretch)
    # At the ends rounding may leave the share just outside its own interval.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def _class_indices(name: str, values: ArrayLike) -> IntArray:
    given = np.asarray(values)
    if given.ndim != 1:
        raise ValueError(f"{name} has shape {given.shape}; it must be one-dimensional")
    if given.dtype.kind not in "iub":
        raise ValueError(f"{name} has type {given.dtype}; class labels must be integers 0..K-1")
    if len(given) and given.min() < 0:
        raise ValueError(f"{name} is {int(given.min())} somewhere; class labels must be integers 0..K-1")
    return given.astype(np.int64)
