"""Error probability as a function of the confidence, fitted to a labelled split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import special

from calibration.scores import BoolArray, FloatArray


def rank_scale(confidence: FloatArray) -> FloatArray:
    """Normal scores of the ranks of confidence [n], ties at their mid-rank; a fit on this scale does not
    depend on the unit of the score."""
    ascending = np.sort(confidence)
    low = np.searchsorted(ascending, confidence, side="left")
    high = np.searchsorted(ascending, confidence, side="right")
    return np.asarray(special.ndtri(0.5 * (low + high) / len(confidence)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """P(error) = 1 / (1 + exp(-(intercept + slope z))) at normal score z; slope <= 0."""

    coefficients: FloatArray
    """[2], intercept and slope"""
    covariance: FloatArray
    """[2, 2], of the coefficients before the slope is limited"""
    mean: float
    """Smoothed error rate, used if the fitted slope is positive"""

    @classmethod
    def fit(cls, confidence: FloatArray, wrong: BoolArray) -> Self:
        """Platt's (1999) smoothed logistic fit on ranks of confidence and errors, [n >= 1] each.

        Newton's method on two parameters; the targets are smoothed as in Platt's paper, so that data without
        errors need no special case.
        """
        z = rank_scale(confidence)
        positives = float(wrong.sum())
        y = np.where(wrong, (positives + 1.0) / (positives + 2.0), 1.0 / (len(wrong) - positives + 2.0))
        design = np.stack([np.ones(len(z)), z], axis=1)
        beta = np.array([special.logit(float(y.mean())), 0.0])
        for _ in range(50):
            p = special.expit(design @ beta)
            weight = p * (1.0 - p)
            hessian = design.T @ (weight[:, None] * design) + 1e-9 * np.eye(2)
            step = np.linalg.solve(hessian, design.T @ (y - p))
            beta = beta + np.clip(step, -2.0, 2.0)
            if float(np.abs(step).max()) < 1e-9:
                break
        return cls(beta, np.linalg.inv(hessian), float(y.mean()))

    def rates(self, scale: FloatArray) -> FloatArray:
        """P(error) at normal scores `scale` [n]."""
        intercept, slope = self.coefficients
        if slope > 0.0:
            return np.full(len(scale), self.mean)
        return np.asarray(special.expit(intercept + slope * scale), dtype=np.float64)

    def draw(self, draws: int, seed: int) -> FloatArray:
        """Coefficients [draws, 2] that the data support, from the normal approximation of their posterior.

        The slope is never positive.
        """
        drawn = np.random.default_rng(seed).multivariate_normal(self.coefficients, self.covariance, draws)
        drawn[:, 1] = np.minimum(drawn[:, 1], 0.0)
        return np.asarray(drawn, dtype=np.float64)


def fit_error_curve(confidence: FloatArray, wrong: BoolArray) -> FloatArray:
    """P(error | confidence) at each point, [n]; it never rises with the confidence."""
    return ErrorCurve.fit(confidence, wrong).rates(rank_scale(confidence))
