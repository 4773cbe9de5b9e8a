"""Audits: a random sample of the answered images, whose labels are asked for.

Each answered image is audited with its own probability pi, drawn before its label is known. Errors gather
near the threshold, so an audit that prefers low confidence finds them with fewer labels; the tests divide
each found error by its pi, which keeps them valid whatever pi was.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from calibration.scores import BoolArray, FloatArray

UNIFORM_PART: Final = 0.4
"""Least value of the audit weight q: no image is so confident that it is never audited"""
_KNOTS: Final = 32
"""Points that keep a curve, at quantiles of the confidence"""


def audit_weights(error_rate: FloatArray) -> FloatArray:
    """q [n], by which the audit share of each answered image is multiplied; its mean is 1.

    `error_rate` [n], the probability of an error of each answered image (of val_select), in [0, 1]. Sampling
    in proportion to its square root has the least variance of the estimated risk (Neyman, "On the two
    different aspects of the representative method", 1934); a uniform part of .4 keeps the test sensitive to
    errors that ignore the confidence. Raises ValueError for malformed rates.
    """
    rates = np.asarray(error_rate, dtype=np.float64)
    if rates.ndim != 1 or not len(rates):
        raise ValueError(f"error_rate has the shape {rates.shape}; one rate per answered image is needed")
    if not ((rates >= 0.0) & (rates <= 1.0)).all():
        raise ValueError("error_rate holds values outside of [0, 1]")
    root = np.sqrt(rates)
    mean = float(root.mean())
    shape = root / mean if mean > 0.0 else np.ones(len(root))
    return np.asarray(UNIFORM_PART + (1.0 - UNIFORM_PART) * shape, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class AuditCurve:
    """The audit weight q as a function of the confidence: linear between its points, constant beyond them.

    The tests are valid for any weights, so an old curve costs labels and never a guarantee.
    """

    confidences: tuple[float, ...]
    """[k], rising"""
    weights: tuple[float, ...]
    """[k], q at each; never rising, and at least `UNIFORM_PART`"""

    def __post_init__(self) -> None:
        points = np.array(self.confidences), np.array(self.weights)
        if not 1 <= len(points[0]) == len(points[1]):
            raise ValueError("an audit curve needs one weight per confidence, and at least one point")
        if not all(np.isfinite(values).all() for values in points):
            raise ValueError("an audit curve holds finite numbers only")
        if (np.diff(points[0]) <= 0.0).any() or (np.diff(points[1]) > 0.0).any():
            raise ValueError("the confidences of an audit curve must rise, and its weights must not")
        if points[1].min() < UNIFORM_PART:
            raise ValueError(f"a weight of the audit curve is below {UNIFORM_PART:g}, the least one")

    @classmethod
    def through(cls, confidence: FloatArray, weight: FloatArray) -> Self:
        """The curve of the weights [n >= 1] at the confidences [n], thinned to a few quantiles.

        The weights must not rise with the confidence. Raises ValueError.
        """
        points, first = np.unique(confidence, return_index=True)
        kept = np.unique(np.linspace(0, len(points) - 1, _KNOTS).round().astype(np.int64))
        return cls(tuple(points[kept].tolist()), tuple(weight[first[kept]].tolist()))

    def weight(self, confidence: float) -> float:
        """q at a confidence, in plain floats: once per answered image."""
        if not confidence > self.confidences[0]:
            return self.weights[0]
        after = bisect_right(self.confidences, confidence)
        if after == len(self.confidences):
            return self.weights[-1]
        low, high = self.confidences[after - 1], self.confidences[after]
        part = (confidence - low) / (high - low)
        return self.weights[after - 1] + part * (self.weights[after] - self.weights[after - 1])


def found_errors(
    wrong: BoolArray, audited: BoolArray | None, probability: FloatArray | None, share: float
) -> tuple[BoolArray, FloatArray]:
    """(errors that an audit found, probability of each audit), both of the shape of `wrong` [..., n].

    `audited`: None if all images were; `wrong` is read only where it is true. `probability`: pi in (0, 1];
    None if it was `share` for every image. Raises ValueError for malformed arguments.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share is {share!r}; it must lie in (0, 1]")
    labels = np.asarray(wrong)
    drawn = np.ones(labels.shape, dtype=np.bool_) if audited is None else np.asarray(audited)
    chance = np.full(labels.shape, share) if probability is None else np.asarray(probability, np.float64)
    for name, values in (("audited", drawn), ("probability", chance)):
        if values.shape != labels.shape:
            raise ValueError(f"{name} has the shape {values.shape}, and wrong {labels.shape}")
    if not np.isin(drawn, (0, 1)).all():
        raise ValueError("audited holds values other than 0 and 1")
    if not np.isin(labels[drawn.astype(np.bool_)], (0, 1)).all():
        raise ValueError("wrong holds values other than 0 and 1 where an image was audited")
    if not ((chance > 0.0) & (chance <= 1.0)).all():
        raise ValueError("probability holds values outside of (0, 1]")
    return (labels == 1) & (drawn == 1), chance
