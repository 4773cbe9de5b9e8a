"""Validation of array arguments; the one place for their error messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import BoolArray, FloatArray, IntArray


def read_confidence(confidence: ArrayLike, name: str = "confidence") -> FloatArray:
    """Confidences as float64 [n]; ValueError for another shape, NaN or infinite values."""
    values = np.asarray(confidence, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; it must be one-dimensional")
    if not np.isfinite(values).all():
        nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        raise ValueError(
            f"{name} has {nan} NaN and {infinite} infinite values; every image needs a finite confidence "
            "(the float64 logit margin does not overflow if a softmax saturates)"
        )
    return values


def read_errors(errors: ArrayLike, n: int, name: str = "errors") -> BoolArray:
    """0/1 errors as bool [n]; ValueError for another length or any other value."""
    values = np.asarray(errors)
    if values.shape != (n,):
        raise ValueError(f"{name} has shape {values.shape}; the confidences need ({n},)")
    if values.dtype != np.bool_ and not ((values == 0) | (values == 1)).all():
        raise ValueError(f"{name} holds values other than 0 and 1; 1 means that the label is wrong")
    return values.astype(np.bool_)


def read_scores(confidence: ArrayLike, errors: ArrayLike, stage: str = "") -> tuple[FloatArray, BoolArray]:
    """`read_confidence` and `read_errors` of one stage; `stage` ends the names in messages."""
    values = read_confidence(confidence, f"confidence{stage}")
    return values, read_errors(errors, len(values), f"errors{stage}")


def read_thresholds(thresholds: ArrayLike) -> FloatArray:
    """A grid [T >= 1] of finite thresholds, strict (high) to loose (low)."""
    values = np.asarray(thresholds, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"thresholds has shape {values.shape}; it must be one-dimensional and not empty")
    if not np.isfinite(values).all():
        raise ValueError("thresholds must be finite")
    if (np.diff(values) > 0).any():
        raise ValueError("thresholds must go from strict (high) to loose (low); the order is the promise")
    return values


def read_path(path: ArrayLike) -> FloatArray:
    """A path [T, 2] of pairs (t_a, t_b), strict to loose; +inf: the stage answers nothing."""
    values = np.asarray(path, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or len(values) == 0:
        raise ValueError(f"path has shape {values.shape}; it must be (T, 2) with T >= 1")
    if np.isnan(values).any() or np.isneginf(values).any():
        raise ValueError("path must hold finite thresholds, or +inf for a stage that answers nothing")
    return values


def read_losses(losses: ArrayLike, bound: float = 1.0) -> FloatArray:
    """Losses [n, T] in [0, bound], one column per parameter."""
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"losses has shape {values.shape}; it must be [n, T]: one column per parameter")
    if not ((values >= 0.0) & (values <= bound)).all():
        raise ValueError(f"losses must lie in [0, {bound:g}]")
    return values


def read_answers(answer: ArrayLike | None, n: int, classes: int, name: str = "answer") -> IntArray:
    """Labels 0..classes-1 that would be given, int64 [n]; all 0 if `answer` is None."""
    if answer is None:
        return np.zeros(n, dtype=np.int64)
    values = np.asarray(answer)
    if values.shape != (n,):
        raise ValueError(f"{name} has shape {values.shape}; the confidences need ({n},)")
    if n and not (np.equal(np.mod(values, 1), 0) & (values >= 0) & (values < classes)).all():
        raise ValueError(f"{name} must hold labels 0..{classes - 1}")
    return values.astype(np.int64)
