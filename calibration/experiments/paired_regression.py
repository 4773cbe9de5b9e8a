"""Regression of a newcomer against a champion on the same images: only where the two differ counts.

`lost`: images that the champion alone has right; `won`: that the newcomer alone has right. Given how many
differ, under equal accuracies each of them is lost or won with probability 1/2 (McNemar, Psychometrika 12,
1947). Not to find a difference proves nothing, so the loss that remains possible is bounded as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from calibration.bounds import binomial_p_value, clopper_pearson_lower, clopper_pearson_upper

_SHARE_OF_DIRECTION: Final = 0.8
"""Part of the level that bounds which of the two is right where they differ; the rest bounds how often"""
_MOST: Final = 10_000_000
"""Largest number of images that is searched for"""


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Independent images that both have decided. Raises ValueError for counts that do not fit."""

    images: int
    lost: int
    won: int

    def __post_init__(self) -> None:
        if min(self.lost, self.won) < 0 or self.lost + self.won > self.images:
            raise ValueError(f"{self.lost} lost and {self.won} won are no parts of {self.images} images")

    @property
    def discordant(self) -> int:
        """Images on which exactly one of the two is right."""
        return self.lost + self.won

    def scaled(self, images: int) -> PairedCounts:
        """The counts of so many images with the same shares."""
        of = images / max(1, self.images)
        return PairedCounts(images, *(min(images // 2, round(of * count)) for count in (self.lost, self.won)))


def regression_p_value(counts: PairedCounts) -> float:
    """P(Bin(discordant, 1/2) >= lost): the exact test of McNemar against a worse newcomer, one-sided."""
    return float(binomial_p_value(counts.won, counts.discordant, 0.5))


def largest_loss(counts: PairedCounts, level: float) -> float:
    """Upper bound of the accuracy that the newcomer loses: P(loss > bound) <= level, at least 0.

    The loss is psi (2 theta - 1), with psi the probability that the two differ and theta that the champion
    is right if they do. Each has its bound by Clopper and Pearson (1934), at parts of `level` that add up.
    """
    theta = float(clopper_pearson_upper(counts.lost, counts.discordant, _SHARE_OF_DIRECTION * level))
    psi = float(clopper_pearson_upper(counts.discordant, counts.images, (1.0 - _SHARE_OF_DIRECTION) * level))
    return max(0.0, psi * (2.0 * theta - 1.0))


def images_to_decide(counts: PairedCounts, level: float, loss: float) -> int | None:
    """About how many images decide, if the shares stay as they are: the smallest number at which either the
    test finds a regression or a loss above `loss` is ruled out. None: more than ten million."""

    def decided(images: int) -> bool:
        grown = counts.scaled(images)
        return regression_p_value(grown) <= level or largest_loss(grown, level) <= loss

    return _smallest(decided, max(1, counts.images))


def answers_to_decide(wrong: int, answered: int, level: float, promised: float, limit: float) -> int | None:
    """The same for a risk: how many answers show one above `promised`, or rule out one above `limit`."""

    def decided(answers: int) -> bool:
        errors = min(answers, round(wrong * answers / max(1, answered)))
        low = float(clopper_pearson_lower(errors, answers, level))
        return low > promised or float(clopper_pearson_upper(errors, answers, level)) <= limit

    return _smallest(decided, max(1, answered))


def _smallest(decided: Callable[[int], bool], start: int) -> int | None:
    """The smallest number from `start` at which `decided` holds, by doubling and halving."""
    low, high = start - 1, start
    while not decided(high):
        if high >= _MOST:
            return None
        low, high = high, min(_MOST, 2 * high)
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high
