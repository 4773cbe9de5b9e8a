"""Reward of the reference task over a stream of answers.

reward = (MCC over the last 100 answers / 2 + accuracy over the last 10 / 2)^3, with an MCC of 0
if it is negative or if labels or predictions hold one class only. A probability of exactly 0.5 counts as
negative; an answer of -1, or one that is no probability, earns 0 and is left out of later windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.metrics.classification import mcc
from calibration.scores import BoolArray, FloatArray, IntArray

MCC_WINDOW = 100
ACCURACY_WINDOW = 10


def natix_reward(mcc_100: float, accuracy_10: float) -> float:
    """Reward in [0, 1] from the two rolling figures; a negative MCC counts as 0."""
    return (0.5 * max(0.0, mcc_100) + 0.5 * accuracy_10) ** 3


def stream_reward(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Reward of the newest answer of a stream, in [0, 1].

    `labels` [n] in {0, 1} and `probabilities` [n] of label 1, oldest first; windows shorten to a
    shorter history.
    """
    true, p = _checked(labels, probabilities)
    return _newest_reward(true, p, (p >= 0.0) & (p <= 1.0))


def stream_rewards(labels: ArrayLike, probabilities: ArrayLike) -> FloatArray:
    """Reward after each answer, [n]; its mean is the reward of the run. Parameters as for `stream_reward`."""
    true, p = _checked(labels, probabilities)
    valid = (p >= 0.0) & (p <= 1.0)
    longest = max(MCC_WINDOW, ACCURACY_WINDOW)
    windows = (slice(max(0, end - longest), end) for end in range(1, len(p) + 1))
    return np.array([_newest_reward(true[w], p[w], valid[w]) for w in windows])


def simulated_reward(recall: float, specificity: float, *, windows: int = 20_000, seed: int = 0) -> float:
    """Mean reward in [0, 1] of a long stream with balanced random labels, at this recall and specificity.

    The mean over `windows` independent last 100 answers, with a standard error below 0.0015. It lies
    above the reward of the mean figures, since the cube is convex. NaN if recall or specificity is NaN.
    """
    if np.isnan(recall) or np.isnan(specificity):
        return float("nan")
    if not (0.0 <= recall <= 1.0 and 0.0 <= specificity <= 1.0):
        raise ValueError(f"recall and specificity are {recall!r} and {specificity!r}; both lie in [0, 1]")
    rng = np.random.default_rng(seed)
    chances = 0.5 * np.array([recall, 1.0 - recall, specificity, 1.0 - specificity])
    recent = rng.multinomial(ACCURACY_WINDOW, chances, size=windows)
    tp, fn, tn, fp = (recent + rng.multinomial(MCC_WINDOW - ACCURACY_WINDOW, chances, size=windows)).T
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn), dtype=np.float64)
    correlation = np.divide(tp * tn - fp * fn, spread, out=np.zeros(windows), where=spread > 0.0)
    accuracy = (recent[:, 0] + recent[:, 2]) / ACCURACY_WINDOW
    return float(((0.5 * correlation.clip(min=0.0) + 0.5 * accuracy) ** 3).mean())


def _newest_reward(labels: IntArray, probabilities: FloatArray, valid: BoolArray) -> float:
    if not valid[-1]:
        return 0.0
    predictions = (probabilities > 0.5).astype(np.int64)
    rows = np.flatnonzero(valid[-MCC_WINDOW:])
    correlation = mcc(labels[-MCC_WINDOW:][rows], predictions[-MCC_WINDOW:][rows])
    recent = np.flatnonzero(valid[-ACCURACY_WINDOW:])
    hits = labels[-ACCURACY_WINDOW:][recent] == predictions[-ACCURACY_WINDOW:][recent]
    return natix_reward(correlation, float(np.mean(hits)))


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[IntArray, FloatArray]:
    true: NDArray[np.generic] = np.asarray(labels)
    p = np.asarray(probabilities, dtype=np.float64)
    if true.ndim != 1 or true.shape != p.shape or len(p) == 0:
        raise ValueError(
            f"labels has shape {true.shape} and probabilities {p.shape}; both must be one-dimensional, of "
            "one length and not empty"
        )
    if not np.all((true == 0) | (true == 1)):
        raise ValueError("labels must hold 0 and 1 only")
    return true.astype(np.int64), p
