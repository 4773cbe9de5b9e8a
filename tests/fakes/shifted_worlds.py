"""Two classes with scores x | y ~ N(+-d/2, 1), whose shares may change while each class looks as it did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special


@dataclass(frozen=True)
class ShiftedWorld:
    """A classifier that takes class 1 to have the share `prior`, asked about images with other shares."""

    prior: float
    distance: float = 3.6
    """Between the means of the classes; 3.6 gives 96.4 % right at equal shares"""

    def draw(
        self, rng: np.random.Generator, n: int, share: float, moved: float = 0.0
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(log odds of class 1 [n], classes [n]); class 1 has moved by `moved` times its spread."""
        classes = (rng.random(n) < share).astype(np.int64)
        x = rng.normal((2 * classes - 1) * self.distance / 2.0) + moved * classes
        return self.distance * x + self._offset, classes

    def coverage(self, threshold: float, share: float) -> float:
        """True share of images that are answered."""
        (right_0, wrong_0), (right_1, wrong_1) = self._rates(threshold)
        return (1.0 - share) * (right_0 + wrong_0) + share * (right_1 + wrong_1)

    def risk(self, threshold: float, share: float) -> float:
        """True share of wrong answers among the answers."""
        (_, wrong_0), (_, wrong_1) = self._rates(threshold)
        return ((1.0 - share) * wrong_0 + share * wrong_1) / self.coverage(threshold, share)

    @property
    def _offset(self) -> float:
        return float(special.logit(self.prior))

    def _rates(self, threshold: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """For each class the probabilities of a right and of a wrong answer."""
        half = self.distance / 2.0
        above = (threshold - self._offset) / self.distance
        below = (-threshold - self._offset) / self.distance
        zero = float(special.ndtr(below + half)), float(special.ndtr(-above - half))
        one = float(special.ndtr(half - above)), float(special.ndtr(below - half))
        return zero, one


SHIFTED = ShiftedWorld(0.2)
"""Class 1 is rare, and the classifier knows it: its errors are images of class 1"""
