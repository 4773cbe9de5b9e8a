"""Encoding of thresholds: a stage that answers nothing has the threshold +inf, which JSON cannot write.

Certificates, bundles, run files and operating points write it as null (None).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from calibration.scores import FloatArray


def encode_threshold(threshold: float) -> float | None:
    """None for +inf, else the threshold itself."""
    return None if math.isinf(threshold) else float(threshold)


def decode_threshold(value: float | None) -> float:
    """+inf for None, else the value itself; the inverse of `encode_threshold`."""
    return math.inf if value is None else float(value)


def encode_path(path: FloatArray) -> tuple[tuple[float | None, ...], ...]:
    """Thresholds [T, stages] as nested tuples, one per step."""
    return tuple(tuple(encode_threshold(value) for value in step) for step in path.tolist())


def decode_path(steps: Iterable[Sequence[float | None]]) -> FloatArray:
    """Thresholds [T, stages]; the inverse of `encode_path`."""
    return np.array([[decode_threshold(value) for value in step] for step in steps], dtype=np.float64)
