"""Probability calibration: maps from scores to probabilities that match observed frequencies.

Each is fitted on the selection split, never on the calibration split. All are monotone (a temperature
within one image): they make numbers readable, and are no certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import FloatArray, softmax

TEMPERATURE_RANGE = (0.01, 100.0)

_PROBABILITY_FLOOR = 1e-12
"""Keeps the logarithms of probabilities 0 and 1 finite."""


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T that minimises the negative log likelihood of softmax(logits / T).

    `logits` [n, K], `labels` [n] in 0..K-1 (Guo et al., arXiv 1706.04599, section 4.2). The loss is convex
    in 1/T, so its slope has one root; if it lies outside `TEMPERATURE_RANGE` (every label the most
    probable one, or accuracy at chance), the nearer end is returned.
    """
    z = np.asarray(logits, dtype=np.float64)
    true = np.asarray(labels)
    if z.ndim != 2 or true.shape != z.shape[:1] or len(z) == 0:
        raise ValueError(
            f"logits has shape {z.shape} and labels {true.shape}; they must be [n, K] and [n], and not empty"
        )
    if not np.isfinite(z).all():
        raise ValueError("logits holds NaN or infinite values; a temperature needs finite ones")
    of_label = z[np.arange(len(z)), true]

    def slope(log_temperature: float) -> float:
        expected = (softmax(z / np.exp(log_temperature)) * z).sum(axis=1)
        return float(np.mean(expected - of_label))

    coldest, hottest = np.log(TEMPERATURE_RANGE)
    # The slope in 1/T falls as T rises.
    if slope(coldest) <= 0.0:
        return TEMPERATURE_RANGE[0]
    if slope(hottest) >= 0.0:
        return TEMPERATURE_RANGE[1]
    from scipy.optimize import brentq

    return float(np.exp(brentq(slope, coldest, hottest, xtol=1e-10)))


def fit_platt(score: ArrayLike, correct: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of P(correct) = 1 / (1 + exp(-(slope * score + intercept))).

    `score` [n], `correct` [n] in {0, 1}. Platt's smoothed targets (n1 + 1)/(n1 + 2) and 1/(n0 + 2) keep the
    fit finite when the classes are separable; Newton's method with step halving (Lin, Lin and Weng, Mach.
    Learn. 68, 2007). A slope of at most 0 means that the score does not rank correctness.
    """
    x, hits = _score_and_outcome(score, correct)
    # On standardised scores the convergence of Newton's method does not depend on the score's unit.
    centre, spread = float(x.mean()), float(x.std())
    spread = spread if spread > 0.0 else 1.0
    standard = (x - centre) / spread
    n_hits = float(hits.sum())
    targets = np.where(hits, (n_hits + 1.0) / (n_hits + 2.0), 1.0 / (len(x) - n_hits + 2.0))
    prior = np.log((n_hits + 1.0) / (len(x) - n_hits + 1.0))
    design = np.stack([standard, np.ones_like(standard)], axis=1)
    slope, intercept = _logistic_newton(design, targets, np.array([0.0, prior]))
    return float(slope / spread), float(intercept - slope * centre / spread)


@dataclass(frozen=True, slots=True)
class TemperatureScaling:
    """softmax(logits / temperature)."""

    temperature: float
    kind: ClassVar[str] = "temperature"

    @classmethod
    def fit(cls, logits: ArrayLike, labels: ArrayLike) -> Self:
        return cls(fit_temperature(logits, labels))

    def apply(self, logits: ArrayLike) -> FloatArray:
        """Probabilities [n, K] of logits [n, K]."""
        return softmax(np.asarray(logits, dtype=np.float64) / self.temperature)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "temperature": self.temperature}


@dataclass(frozen=True, slots=True)
class PlattScaling:
    """1 / (1 + exp(-(slope * score + intercept)))."""

    slope: float
    intercept: float
    kind: ClassVar[str] = "platt"

    @classmethod
    def fit(cls, score: ArrayLike, correct: ArrayLike) -> Self:
        return cls(*fit_platt(score, correct))

    def apply(self, score: ArrayLike) -> FloatArray:
        """P(correct) [n] of scores [n]."""
        return _sigmoid(self.slope * np.asarray(score, dtype=np.float64) + self.intercept)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, slots=True)
class BetaCalibration:
    """1 / (1 + exp(-(a ln p - b ln(1 - p) + c))) with a, b >= 0 (Kull et al., AISTATS 2017).

    Unlike Platt scaling of a probability it contains the identity (a = b = 1, c = 0), so with
    enough data it leaves calibrated probabilities unharmed.
    """

    a: float
    b: float
    c: float
    kind: ClassVar[str] = "beta"

    @classmethod
    def fit(cls, probability: ArrayLike, correct: ArrayLike) -> Self:
        """`probability` [n] in [0, 1], `correct` [n] in {0, 1}; maximum likelihood."""
        p, hits = _score_and_outcome(probability, correct)
        _require_probabilities(p)
        features = cls._features(p)
        signs = np.where(hits, -1.0, 1.0)

        def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
            against = signs * (features @ parameters)
            return float(np.mean(np.logaddexp(0.0, against))), features.T @ (signs * _sigmoid(against)) / len(
                p
            )

        from scipy.optimize import minimize

        # Separable data would drive the parameters to infinity; beyond these bounds nothing changes.
        bounds = [(0.0, 1e3), (0.0, 1e3), (-1e4, 1e4)]
        fitted = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B")
        return cls(*(float(value) for value in fitted.x))

    def apply(self, probability: ArrayLike) -> FloatArray:
        """Calibrated probabilities [n] of probabilities [n]."""
        p = np.asarray(probability, dtype=np.float64)
        return _sigmoid(self._features(p) @ np.array([self.a, self.b, self.c]))

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "a": self.a, "b": self.b, "c": self.c}

    @staticmethod
    def _features(p: FloatArray) -> FloatArray:
        inside = np.clip(p, _PROBABILITY_FLOOR, 1.0 - _PROBABILITY_FLOOR)
        return np.stack([np.log(inside), -np.log1p(-inside), np.ones_like(inside)], axis=-1)


@dataclass(frozen=True, slots=True)
class IsotonicCalibration:
    """The best non-decreasing map, linear between its knots (Zadrozny and Elkan, KDD 2002)."""

    scores: tuple[float, ...]
    """Knots, strictly increasing."""
    probabilities: tuple[float, ...]
    """Value at each knot, non-decreasing; constant beyond the first and last knot."""
    kind: ClassVar[str] = "isotonic"

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.probabilities) or not self.scores:
            raise ValueError("scores and probabilities must have one length of at least 1")

    @classmethod
    def fit(cls, score: ArrayLike, correct: ArrayLike) -> Self:
        """`score` [n], `correct` [n] in {0, 1}; least squares by pooling adjacent violators."""
        x, hits = _score_and_outcome(score, correct)
        from scipy.optimize import isotonic_regression

        # Equal scores share one value, so that the order of the rows does not matter.
        knots, row_knot, weights = np.unique(x, return_inverse=True, return_counts=True)
        means = np.bincount(row_knot, weights=hits) / weights
        fitted = np.clip(isotonic_regression(means, weights=weights).x, 0.0, 1.0)
        # The two ends of each flat stretch define the map.
        kept = np.ones(len(knots), dtype=np.bool_)
        kept[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
        return cls(tuple(map(float, knots[kept])), tuple(map(float, fitted[kept])))

    def apply(self, score: ArrayLike) -> FloatArray:
        """P(correct) [n] of scores [n]."""
        x = np.asarray(score, dtype=np.float64)
        return np.asarray(np.interp(x, self.scores, self.probabilities), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "scores": list(self.scores), "probabilities": list(self.probabilities)}


Calibrator = TemperatureScaling | PlattScaling | BetaCalibration | IsotonicCalibration


def calibrator_from_dict(values: Mapping[str, Any]) -> Calibrator:
    """The inverse of `to_dict` of all calibrators; ValueError lists the known kinds."""
    match values.get("kind"):
        case TemperatureScaling.kind:
            return TemperatureScaling(float(values["temperature"]))
        case PlattScaling.kind:
            return PlattScaling(float(values["slope"]), float(values["intercept"]))
        case BetaCalibration.kind:
            return BetaCalibration(float(values["a"]), float(values["b"]), float(values["c"]))
        case IsotonicCalibration.kind:
            return IsotonicCalibration(
                tuple(map(float, values["scores"])), tuple(map(float, values["probabilities"]))
            )
        case other:
            raise ValueError(f"kind is {other!r}; it must be one of temperature, platt, beta, isotonic")


def _logistic_newton(design: FloatArray, targets: FloatArray, start: FloatArray) -> FloatArray:
    """Maximum likelihood of a logistic model with targets in [0, 1]; design [n, d] -> parameters [d]."""
    parameters = start

    def loss(at: FloatArray) -> float:
        z = design @ at
        return float(np.sum(np.logaddexp(0.0, z) - targets * z))

    current = loss(parameters)
    for _ in range(100):
        p = _sigmoid(design @ parameters)
        gradient = design.T @ (p - targets)
        if np.max(np.abs(gradient)) < 1e-9 * len(design):
            break
        # The ridge matters only if the curvature vanishes (a constant score).
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design + 1e-12 * np.eye(design.shape[1])
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-10 and loss(parameters - size * step) > current:
            size /= 2
        if size <= 1e-10:
            break
        parameters = parameters - size * step
        current = loss(parameters)
    return parameters


def _sigmoid(z: FloatArray) -> FloatArray:
    # Beyond 500 the result is 0 or 1 to the last bit, and exp would overflow.
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -500.0, 500.0))), dtype=np.float64)


def _score_and_outcome(score: ArrayLike, outcome: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x = np.asarray(score, dtype=np.float64)
    hits = np.asarray(outcome, dtype=np.float64)
    if x.ndim != 1 or x.shape != hits.shape or len(x) == 0:
        raise ValueError(
            f"score has shape {x.shape} and correct {hits.shape}; both must be one-dimensional, of one "
            "length and not empty"
        )
    if not np.isfinite(x).all():
        raise ValueError("score holds NaN or infinite values; the fit needs finite ones")
    if not np.all((hits == 0.0) | (hits == 1.0)):
        raise ValueError("correct must hold 0 (wrong) and 1 (right) only")
    return x, hits


def _require_probabilities(p: FloatArray) -> None:
    if not (np.all(p >= 0.0) and np.all(p <= 1.0)):
        raise ValueError("probability holds values outside [0, 1]")
