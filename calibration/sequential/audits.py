"""Audits: a random sample of the answered images, whose labels are asked for.

Each answered image is audited with its own probability pi, drawn before its label is known. Errors gather
near the threshold, so an audit that prefers low confidence finds them with fewer labels; the tests divide
each found error by its pi, which keeps them valid whatever pi was.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from calibration.scores import BoolArray, FloatArray

UNIFORM_PART: Final = 0.4
"""Least value of the audit weight q: no image is so confident that it is never audited"""


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
