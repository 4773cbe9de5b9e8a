"""Comparison of a window of images with their reference, at one probability of any false alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from calibration.drift.marginals import (
    category_p_value,
    category_psi,
    holm,
    ks_p_value,
    ks_statistic,
    number_psi,
)
from calibration.drift.mmd import PERMUTATIONS, MmdResult, joint_vectors, mmd_test
from calibration.drift.signals import SignalSample
from calibration.scores import FloatArray, IntArray

LEAST_IMAGES: Final = 250
"""Images of a window under which nothing is concluded"""
LEAST_REFERENCE: Final = 100
"""The same of a reference"""
_JOINT_REFERENCE, _JOINT_CURRENT = 500, 250
"""Images of each sample that enter the joint test, at most"""


@dataclass(frozen=True, slots=True)
class SignalShift:
    """One signal in the window against its reference."""

    name: str
    kind: Literal["number", "category"]
    reference: float
    """Median of a number; share of the category that changed most"""
    current: float
    psi: float
    """Population stability index; descriptive"""
    p_value: float
    """Adjusted for all signals of the window (Holm)"""
    moved: bool
    category: int | None = None
    """The category that changed most; None for a number"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All signals of one window against their reference."""

    n: int
    n_reference: int
    level: float
    """Probability of any alarm if nothing has moved: half for the signals one by one, half for the joint
    test"""
    shifts: tuple[SignalShift, ...]
    joint: MmdResult | None
    """The joint test of all numbers and of the embedding; None without either"""

    @property
    def joint_moved(self) -> bool:
        return self.joint is not None and self.joint.p_value <= 0.5 * self.level

    @property
    def moved(self) -> tuple[str, ...]:
        """The signals that have moved, the one with the largest index first."""
        return tuple(one.name for one in sorted(self.shifts, key=lambda one: -one.psi) if one.moved)

    @property
    def alarm(self) -> bool:
        return bool(self.moved) or self.joint_moved


def compare(reference: SignalSample, current: SignalSample, *, level: float, seed: int = 0) -> Comparison:
    """Compare a window [n images] with a reference [m images], of images that do not depend on each other.

    The probability of any alarm is at most `level` if both are of one distribution: Holm over the signals at
    half of it, the permutation test of all numbers together at the other half. A signal that fewer than the
    least number of images have is left out. Raises ValueError for samples that are too small.
    """
    for name, sample, least in (
        ("reference", reference, LEAST_REFERENCE),
        ("window", current, LEAST_IMAGES),
    ):
        if len(sample) < least:
            raise ValueError(f"the {name} has {len(sample)} images; nothing is concluded from under {least}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must lie strictly between 0 and 1")
    found = [*_numbers(reference, current), *_categories(reference, current)]
    adjusted = holm(np.array([one.p_value for one in found]))
    shifts = tuple(
        SignalShift(
            one.name, one.kind, one.reference, one.current, one.psi, p, p <= 0.5 * level, one.category
        )
        for one, p in zip(found, adjusted.tolist(), strict=True)
    )
    joint = _joint(reference, current, level, seed)
    return Comparison(len(current), len(reference), level, shifts, joint)


def _numbers(reference: SignalSample, current: SignalSample) -> list[SignalShift]:
    shifts = []
    for name, whole in current.numbers.items():
        if name not in reference.numbers:
            continue
        before, now = _finite(reference.numbers[name]), _finite(whole)
        if len(before) < LEAST_REFERENCE or len(now) < LEAST_IMAGES:
            continue
        p = ks_p_value(ks_statistic(before, now), len(before), len(now))
        shifts.append(
            SignalShift(
                name,
                "number",
                float(np.median(before)),
                float(np.median(now)),
                number_psi(before, now),
                p,
                False,
            )
        )
    return shifts


def _categories(reference: SignalSample, current: SignalSample) -> list[SignalShift]:
    shifts = []
    for name, now in current.categories.items():
        if name not in reference.categories:
            continue
        before = reference.categories[name]
        category, share_before, share_now = _most_changed(before, now)
        p = category_p_value(before, now)
        shifts.append(
            SignalShift(
                name,
                "category",
                share_before,
                share_now,
                category_psi(before, now),
                p,
                False,
                category,
            )
        )
    return shifts


def _most_changed(before: IntArray, now: IntArray) -> tuple[int, float, float]:
    """(category, its share before, its share now); of two that changed alike, the greater category."""
    shares = [
        (one, float((before == one).mean()), float((now == one).mean()))
        for one in np.unique(np.concatenate([before, now])).tolist()
    ]
    return max(shares, key=lambda share: (round(abs(share[2] - share[1]), 9), share[0]))


def _joint(reference: SignalSample, current: SignalSample, level: float, seed: int) -> MmdResult | None:
    rng = np.random.default_rng(seed)
    before = reference.take(_some(rng, len(reference), _JOINT_REFERENCE))
    now = current.take(_some(rng, len(current), _JOINT_CURRENT))
    names = [name for name in now.numbers if name in before.numbers]
    blocks: list[tuple[FloatArray, FloatArray]] = []
    if names:
        blocks.append((_stacked(before, names), _stacked(now, names)))
    vectors = before.embedding, now.embedding
    if vectors[0] is not None and vectors[1] is not None and vectors[0].shape[1] == vectors[1].shape[1]:
        blocks.append((vectors[0], vectors[1]))
    if not blocks:
        return None
    pooled = joint_vectors(tuple(one for one, _ in blocks), tuple(other for _, other in blocks))
    # Enough that a single permutation as far apart as the samples does not keep the test from rejecting.
    wanted = max(PERMUTATIONS, int(np.ceil(4.0 / level)))
    return mmd_test(*pooled, permutations=wanted, seed=seed)


def _stacked(sample: SignalSample, names: list[str]) -> FloatArray:
    return np.stack([sample.numbers[name] for name in names], axis=1)


def _some(rng: np.random.Generator, n: int, most: int) -> IntArray:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _finite(values: FloatArray) -> FloatArray:
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)
