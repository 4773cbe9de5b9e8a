"""Maximum mean discrepancy: have several signals moved together, also where none has moved alone?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.scores import FloatArray

PERMUTATIONS: Final = 999
"""Least number of permutations, and those that are drawn at a time"""
_EXCEEDED: Final = 20
"""Permutations at least as far apart as the samples after which no more are drawn"""


@dataclass(frozen=True, slots=True)
class MmdResult:
    """Result of the permutation test."""

    statistic: float
    """Squared discrepancy in units of the kernel"""
    p_value: float
    """Exact for values below .02; a larger one says that the samples do not differ"""
    permutations: int


def mmd_test(
    reference: FloatArray, current: FloatArray, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> MmdResult:
    """Test by permutations whether [m, d] and [n, d] are of one distribution.

    A Gaussian kernel with the median distance of the pooled sample as its width (Gretton et al., "A kernel
    two-sample test", JMLR 13, 2012). `permutations`: at least 999, drawn in blocks of 999 until enough of
    them are as far apart as the samples; so a quiet test costs one block whatever the number. Values that are
    not finite count as the mean of their column. Raises ValueError.
    """
    if reference.ndim != 2 or current.ndim != 2 or reference.shape[1] != current.shape[1]:
        raise ValueError(f"the samples have the shapes {reference.shape} and {current.shape}")
    if min(len(reference), len(current)) < 2 or reference.shape[1] < 1:
        raise ValueError("each sample needs at least two images, and one signal")
    if permutations < PERMUTATIONS:
        raise ValueError(f"permutations is {permutations}; at least {PERMUTATIONS} are needed")
    kernel = _kernel(np.concatenate([reference, current]))
    of_current = np.zeros(len(kernel), dtype=np.bool_)
    of_current[len(reference) :] = True
    observed = float(_discrepancy(kernel, of_current[:, None])[0])
    rng = np.random.default_rng(seed)
    exceeded = drawn = 0
    while drawn < permutations and exceeded < _EXCEEDED:
        block = _permuted(rng, len(kernel), len(current), PERMUTATIONS)
        exceeded += int((_discrepancy(kernel, block) >= observed * (1.0 - 1e-6)).sum())
        drawn += PERMUTATIONS
    return MmdResult(observed, (1 + exceeded) / (1 + drawn), drawn)


def joint_vectors(
    reference: tuple[FloatArray, ...], current: tuple[FloatArray, ...]
) -> tuple[FloatArray, FloatArray]:
    """The samples' blocks of signals, each [m, d_i] or [n, d_i], as vectors [m, d] and [n, d].

    Each signal is replaced by its rank in the pooled sample, so that neither its unit nor an outlier counts,
    and each block has the same weight whatever its number of signals.
    """
    blocks = [
        _ranks(np.concatenate(pair)) / np.sqrt(pair[0].shape[1])
        for pair in zip(reference, current, strict=True)
    ]
    pooled = np.concatenate(blocks, axis=1)
    m = len(reference[0])
    return pooled[:m], pooled[m:]


def _ranks(values: FloatArray) -> FloatArray:
    """Mid-ranks of each column in [0, 1]; values that are not finite count as the middle."""
    ranks = np.empty(values.shape)
    for column in range(values.shape[1]):
        one = values[:, column]
        finite = np.isfinite(one)
        ascending = np.sort(one[finite])
        low = np.searchsorted(ascending, one[finite], side="left")
        high = np.searchsorted(ascending, one[finite], side="right")
        ranks[:, column] = 0.5
        ranks[finite, column] = 0.5 * (low + high) / max(1, len(ascending))
    return ranks


def _kernel(pooled: FloatArray) -> NDArray[np.float32]:
    finite = np.where(np.isfinite(pooled), pooled, np.nan)
    known = np.isfinite(finite)
    counts = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, finite - np.where(known, finite, 0.0).sum(axis=0) / counts, 0.0)
    squares = (centred**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2.0 * centred @ centred.T, 0.0)
    width = float(np.median(distances[np.triu_indices(len(distances), 1)]))
    return np.asarray(np.exp(-distances / (width if width > 0.0 else 1.0)), dtype=np.float32)


def _permuted(rng: np.random.Generator, total: int, chosen: int, draws: int) -> NDArray[np.bool_]:
    """[total, draws]: in each column `chosen` random rows are true."""
    keys = rng.random((draws, total), dtype=np.float32)
    picked = np.argpartition(keys, chosen - 1, axis=1)[:, :chosen]
    members = np.zeros((draws, total), dtype=np.bool_)
    np.put_along_axis(members, picked, True, axis=1)
    return members.T


def _discrepancy(kernel: NDArray[np.float32], members: NDArray[np.bool_]) -> FloatArray:
    """[draws], squared distance of the kernel means of members and others: one matrix product for all."""
    inside = members.sum(axis=0, dtype=np.float64)
    chosen = members.astype(np.float32)
    to_chosen = kernel @ chosen
    within = (to_chosen * chosen).sum(axis=0, dtype=np.float64)
    all_to_chosen = to_chosen.sum(axis=0, dtype=np.float64)
    between = all_to_chosen - within
    others = float(kernel.sum(dtype=np.float64)) - 2.0 * all_to_chosen + within
    outside = len(kernel) - inside
    return np.asarray(
        within / inside**2 + others / outside**2 - 2.0 * between / (inside * outside), dtype=np.float64
    )
