"""The kinds of a model's main output, and their conversion to logits.

Models trained by demur return logits. A wrapped classifier may return probabilities, or a single number
for class 1; each kind becomes logits with the same probabilities. Values that are no numbers (NaN, infinite)
become NaN logits of their image alone, on which the decision abstains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.choices import OutputKind
from bundle.errors import BundlePackageError
from calibration.scores import FloatArray

PROBABILITY_FLOOR = 1e-12
"""Smaller probabilities are raised to it, so that their logarithm is finite."""
ROUNDING = 1e-3
"""Distance from [0, 1], or of a row's sum from 1, that counts as rounding: runtimes return 1.0000001 and
-1e-8. Values of another kind, such as logits, are farther away."""


class OutputUnfit(BundlePackageError, ValueError):
    """An output is not of the stated kind."""


def _from_logits(raw: NDArray[Any]) -> FloatArray:
    _require_table(raw, "logits")
    return raw.astype(np.float64)


def _from_probabilities(raw: NDArray[Any]) -> FloatArray:
    _require_table(raw, "probabilities")
    values = raw.astype(np.float64)
    finite = np.isfinite(values).all(axis=1)
    rows = values[finite]
    if len(rows) and (rows.min() < -ROUNDING or np.abs(rows.sum(axis=1) - 1.0).max() > ROUNDING):
        raise OutputUnfit(
            "the output is no table of probabilities: its rows do not sum to 1, or have negative values"
        )
    logits = np.full(values.shape, np.nan)
    logits[finite] = np.log(np.maximum(rows, PROBABILITY_FLOOR))
    return logits


def _from_binary_logit(raw: NDArray[Any]) -> FloatArray:
    positive = _single_number(raw, "logit")
    return np.stack([np.zeros_like(positive), positive], axis=1)


def _from_binary_probability(raw: NDArray[Any]) -> FloatArray:
    positive = _single_number(raw, "probability")
    finite = positive[np.isfinite(positive)]
    if len(finite) and (finite.min() < -ROUNDING or finite.max() > 1.0 + ROUNDING):
        raise OutputUnfit("the output is no probability: it leaves the range from 0 to 1")
    return _from_probabilities(_both_classes(positive))


def _both_classes(positive: FloatArray) -> FloatArray:
    """[B] p(class 1) -> [B, 2], clipped to [0, 1]; infinite values become NaN."""
    clipped = np.where(np.isfinite(positive), np.clip(positive, 0.0, 1.0), np.nan)
    return np.stack([1.0 - clipped, clipped], axis=1)


def _single_number(raw: NDArray[Any], what: str) -> FloatArray:
    if raw.shape not in ((len(raw),), (len(raw), 1)):
        raise OutputUnfit(f"the output has shape {raw.shape}; a binary {what} needs [B] or [B, 1]")
    return np.asarray(raw.reshape(len(raw)), dtype=np.float64)


def _require_table(raw: NDArray[Any], what: str) -> None:
    if raw.ndim != 2 or raw.shape[1] < 2:
        raise OutputUnfit(f"the output has shape {raw.shape}; {what} need [B, K] with K at least 2")


TO_LOGITS: Mapping[OutputKind, Callable[[NDArray[Any]], FloatArray]] = MappingProxyType(
    {
        "logits": _from_logits,
        "probabilities": _from_probabilities,
        "binary_logit": _from_binary_logit,
        "binary_probability": _from_binary_probability,
    }
)
"""Each: the model's main output -> logits float64 [B, K]; raises OutputUnfit."""
