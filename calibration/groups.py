"""Independent units from grouped images: frames of one drive, track or burst are not independent.

A test that counts frames as independent breaks the promise (up to a third of certificates violated at a
risk of exactly alpha), so a certificate rests on one random frame per group, or on group means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import IntArray

Unit = Literal["group", "image"]
"""The random image that a promise on grouped images is about: a random frame of a random group, or a random
image."""


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """How independent units are drawn from the images of a split; uses no score and no label."""

    groups: ArrayLike | None = None
    """[n], the drive, track or burst of each image; None: the images are independent"""
    unit: Unit = "group"
    seed: int = 0
    """Of the draw of one frame per group, of the thinning, and of the order of ties and of groups"""
    max_group_size: int | None = None
    """For `unit="image"`: size at which groups are capped, fixed before any calibration image is seen"""
    uniform: float | None = None
    """In (0, 1), for a randomised test: one number per split from the system's randomness
    (`Ledger.uniform`)"""


UNGROUPED = Sampling()
"""Independent images"""


@dataclass(frozen=True, slots=True)
class Units:
    """Rows of the calibration split that are independent draws of `population`."""

    rows: IntArray
    population: str
    name: str
    """Singular, for messages: "image" or "group"."""
    seed: int | None
    """Seed of the draw of rows; None if all rows are units"""
    images: int
    """Number of rows that the units were drawn from"""


def group_codes(groups: ArrayLike, n: int) -> IntArray:
    """Group labels of any type as codes 0..G-1, [n]; ValueError for missing labels or a wrong shape."""
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"groups has shape {labels.shape}; the scores need ({n},)")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(f"groups has {int(np.isnan(labels).sum())} missing labels; every image needs one")
    if labels.dtype.kind == "O":
        missing = sum(label is None for label in labels)
        if missing:
            raise ValueError(f"groups has {missing} missing labels; every image needs one")
        labels = labels.astype(np.str_)
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def one_frame_per_group(codes: IntArray, rng: np.random.Generator) -> IntArray:
    """Rows [G] of one uniformly drawn frame of each group, ordered by group code."""
    shuffled = rng.permutation(len(codes))
    return np.asarray(shuffled[np.unique(codes[shuffled], return_index=True)[1]], dtype=np.int64)


def each_group_alike(groups: ArrayLike, n: int, seed: int) -> IntArray:
    """Rows [m] in which each group of n images occurs equally often, each of its frames about equally often.

    For plans of a promise about a random frame of a random group, which counts a long drive no more than a
    short one.
    """
    codes = group_codes(groups, n)
    shuffled = np.random.default_rng(seed).permutation(n)
    frames = np.split(
        shuffled[np.argsort(codes[shuffled], kind="stable")], np.cumsum(np.bincount(codes))[:-1]
    )
    most = max(map(len, frames), default=0)
    return np.concatenate([np.resize(rows, most) for rows in frames]) if frames else shuffled


def independent_units(n: int, sampling: Sampling) -> Units:
    """Rows of n images that may be counted as independent.

    Without groups: all n images. With groups and `unit="group"`: one frame of each group, population
    "random group, random frame". With `unit="image"`: a group is kept with probability
    min(size / max_group_size, 1), then gives one frame, so that a kept frame is a random *image*; of a larger
    group only `max_group_size` images count, which the population says. ValueError without `max_group_size`:
    the largest group of a split misses rare larger ones, and the promise was then broken in a third of the
    draws. The draw uses no score and no label.
    """
    unit, seed = sampling.unit, sampling.seed
    if unit not in ("group", "image"):
        raise ValueError(f"unit is {unit!r}; it must be 'group' or 'image'")
    if sampling.groups is None:
        return all_images(n)
    codes = group_codes(sampling.groups, n)
    rng = np.random.default_rng(seed)
    rows = one_frame_per_group(codes, rng)
    if unit == "group":
        return Units(rows, "random group, random frame", "group", seed, n)
    limit = sampling.max_group_size
    if limit is None or limit < 1:
        raise ValueError(
            f"max_group_size is {limit}; a promise about random images of groups needs the number of images "
            "of one group that may count, at least 1, stated before calibration images are seen"
        )
    kept = rng.random(len(rows)) * limit < np.bincount(codes)
    return Units(rows[kept], f"image, groups capped at {limit}", "group", seed, n)


def all_images(n: int) -> Units:
    """Units of n images that are independent of each other."""
    return Units(np.arange(n, dtype=np.int64), "image", "image", None, n)


def all_frames(groups: int, images: int, seed: int | None = None) -> Units:
    """Units of groups that are tested with all their frames, in an order drawn by `seed`."""
    return Units(np.arange(groups, dtype=np.int64), "random group, random frame", "group", seed, images)


def intra_group_correlation(values: ArrayLike, groups: ArrayLike) -> float:
    """Intra-class correlation of `values` [n] within groups [n], one-way analysis of variance.

    (MSB - MSW) / (MSB + (n0 - 1) MSW) with n0 the size-adjusted mean group size (Donner 1986),
    between -1 and 1: 0 if frames of one group differ as much as frames of two groups, 1 if they are all
    alike. NaN if it is undefined: fewer than two groups, no group of two, no variation.
    """
    x = np.asarray(values, dtype=np.float64)
    codes = group_codes(groups, len(x))
    sizes = np.bincount(codes).astype(np.float64)
    n, count = float(len(x)), len(sizes)
    if count < 2 or n == count:
        return float("nan")
    means = np.bincount(codes, weights=x) / sizes
    between = float((sizes * (means - x.mean()) ** 2).sum()) / (count - 1)
    within = float(((x - means[codes]) ** 2).sum()) / (n - count)
    typical = (n - float((sizes**2).sum()) / n) / (count - 1)
    total = between + (typical - 1.0) * within
    return (between - within) / total if total > 0.0 else float("nan")
