"""Synthetic populations (worlds) whose true risk and coverage at any threshold are known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

_GRID = 200_001
_DEPTHS = np.linspace(0.0, 1.0, _GRID)


@dataclass(frozen=True)
class World:
    """Population of images. The depth u in (0, 1) of an image is the share of images with more confidence;
    the answer at depth u is wrong with probability `rate(u)`, linear between the grid values.
    confidence = 1 - u; with `edges`, 1 - the next edge at or above u, which is a score with ties."""

    name: str
    rates: Array
    edges: Array | None = None

    @cached_property
    def _wrong_so_far(self) -> Array:
        """Share of all images that have a smaller depth and a wrong answer."""
        steps = 0.5 * (self.rates[1:] + self.rates[:-1]) / (_GRID - 1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Array, NDArray[np.bool_]]:
        """(confidence [n], errors [n])"""
        depth = rng.random(n)
        return self._confidence(depth), rng.random(n) < self.rate(depth)

    def rate(self, depth: Array) -> Array:
        return np.interp(depth, _DEPTHS, self.rates)

    def _confidence(self, depth: Array) -> Array:
        if self.edges is None:
            return 1.0 - depth
        return 1.0 - self.edges[np.searchsorted(self.edges, depth, side="left")]

    def coverage(self, threshold: float) -> float:
        """True share of answered images."""
        depth = min(max(1.0 - threshold, 0.0), 1.0)
        if self.edges is None:
            return depth
        below = int(np.searchsorted(self.edges, depth + 1e-12, side="right"))
        return float(self.edges[below - 1]) if below else 0.0

    def risk(self, threshold: float) -> float:
        """True share of wrong answers among the answered."""
        return self.risk_at(self.coverage(threshold))

    def risk_at(self, coverage: float) -> float:
        if coverage <= 0.0:
            return 0.0
        return float(np.interp(coverage, _DEPTHS, self._wrong_so_far) / coverage)


def gaussian(accuracy: float) -> World:
    """x | y ~ N(+-d/2, 1), confidence |x|: the reference world."""
    half = float(special.ndtri(accuracy))
    x = np.linspace(0.0, half + 9.0, 400_001)
    depth = special.ndtr(half - x) + special.ndtr(-half - x)
    at = np.interp(_DEPTHS, depth[::-1], x[::-1])
    return World(f"Gaussian {accuracy:g}", special.expit(-2.0 * half * at))


def heavy_tails() -> World:
    """Student t noise of three degrees of freedom: the highest confidence is not the least risk."""
    half = 4.2
    x = np.concatenate([np.linspace(0.0, 20.0, 200_001), np.geomspace(20.001, 1e5, 200_000)])
    depth = special.stdtr(3, half - x) + special.stdtr(3, -half - x)
    at = np.interp(_DEPTHS, depth[::-1], x[::-1])
    right = (1.0 + (at - half) ** 2 / 3.0) ** -2.0
    wrong = (1.0 + (at + half) ** 2 / 3.0) ** -2.0
    return World("heavy tails", wrong / (right + wrong))


def humped_gate() -> World:
    """A gate whose risk rises above 1 % at half of the images, falls below, and rises again."""
    u = _DEPTHS
    rates = np.select([u < 0.45, u < 0.55, u < 0.85], [0.003, 0.05, 0.001], 0.06)
    return World("gate not monotone", rates)


def useless_score() -> World:
    """A risk slightly above 1 % at every threshold: every certificate of 1 % is false."""
    return World("risk 1.0001 % throughout", np.full(_GRID, 0.010001))


def saturated() -> World:
    """The reference world with a score that is 1 for 45 % of the images and has steps of 4 % below."""
    edges = np.concatenate([[0.45], np.arange(0.49, 1.0, 0.04), [1.0]])
    return World("ties, saturated", gaussian(0.95).rates, edges)


@dataclass(frozen=True)
class GroupedWorld:
    """Groups of 2 or 12 frames, in equal numbers. A frame repeats a common frame of its group with
    probability `copies`; errors are `harder` times as frequent in a large group as in a small one."""

    base: World
    copies: float
    harder: float = 2.0
    sizes: tuple[int, int] = (2, 12)

    @property
    def name(self) -> str:
        return f"groups, copies {self.copies:g}"

    @property
    def factors(self) -> tuple[float, float]:
        """Factors of the error rate in a small and in a large group; their mean is 1."""
        return 2.0 / (1.0 + self.harder), 2.0 * self.harder / (1.0 + self.harder)

    def draw(
        self, rng: np.random.Generator, groups: int
    ) -> tuple[Array, NDArray[np.bool_], NDArray[np.int64]]:
        """(confidence [n], errors [n], group [n]) of `groups` groups."""
        kind = rng.integers(0, 2, groups)
        group = np.repeat(np.arange(groups), np.asarray(self.sizes)[kind])
        depth, level = rng.random(len(group)), rng.random(len(group))
        copied = rng.random(len(group)) < self.copies
        depth = np.where(copied, rng.random(groups)[group], depth)
        level = np.where(copied, rng.random(groups)[group], level)
        rate = self.base.rate(depth) * np.asarray(self.factors)[kind[group]]
        return 1.0 - depth, level < rate, group

    def risk(self, threshold: float, unit: str) -> float:
        """True risk of a random frame of a random group, or of a random image."""
        weights = {"group": np.ones(2), "image": np.asarray(self.sizes, dtype=np.float64)}[unit]
        return self.base.risk(threshold) * float(np.average(self.factors, weights=weights))

    def coverage(self, threshold: float) -> float:
        return self.base.coverage(threshold)


@dataclass(frozen=True)
class CascadeWorld:
    """Two stages that each see the class plus normal noise, correlated by `rho`; the confidence is |x|."""

    accuracy_a: float = 0.90
    accuracy_b: float = 0.95
    rho: float = 0.5

    @property
    def name(self) -> str:
        return f"cascade, noise correlation {self.rho:g}"

    def draw(
        self, rng: np.random.Generator, n: int
    ) -> tuple[Array, NDArray[np.bool_], Array, NDArray[np.bool_]]:
        """(confidence_a, errors_a, confidence_b, errors_b), [n] each."""
        a = rng.normal(size=n)
        b = self.rho * a + np.sqrt(1.0 - self.rho**2) * rng.normal(size=n)
        x_a, x_b = a + special.ndtri(self.accuracy_a), b + special.ndtri(self.accuracy_b)
        return np.abs(x_a), x_a < 0, np.abs(x_b), x_b < 0

    def shares(self, threshold: tuple[float, float]) -> tuple[float, float, float]:
        """True shares of all images (answered by A, answered by B, answered wrongly), by quadrature."""
        t_a, t_b = (min(t, 40.0) for t in threshold)
        half_a, half_b = float(special.ndtri(self.accuracy_a)), float(special.ndtri(self.accuracy_b))
        by_a = special.ndtr(half_a - t_a) + special.ndtr(-half_a - t_a)
        wrong_a = special.ndtr(-half_a - t_a)
        nodes, weights = _legendre()
        low, high = max(-t_a, half_a - 9.0), min(t_a, half_a + 9.0)
        x = 0.5 * (high - low) * nodes + 0.5 * (high + low)
        density = weights * 0.5 * (high - low) * np.exp(-0.5 * (x - half_a) ** 2) / np.sqrt(2.0 * np.pi)
        mean, spread = half_b + self.rho * (x - half_a), np.sqrt(1.0 - self.rho**2)
        wrong_b = float((density * special.ndtr((-t_b - mean) / spread)).sum())
        right_b = float((density * special.ndtr((mean - t_b) / spread)).sum())
        return float(by_a), wrong_b + right_b, float(wrong_a) + wrong_b


_NODES = np.polynomial.legendre.leggauss(80)


def _legendre() -> tuple[Array, Array]:
    return _NODES
