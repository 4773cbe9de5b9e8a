"""Confidence bounds and p-values for a mean of bounded losses, one function each.

Counts are integers; arguments broadcast. `delta` is the allowed error probability, on one side. Edges are
exact: no data gives the trivial bound, k = 0 and k = m the closed forms.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from calibration.scores import FloatArray, IntArray

_BISECTIONS = 60
"""Halvings of [0, 1]: to the last bit of a float64 near .01."""


def _counts(errors: ArrayLike, trials: ArrayLike) -> tuple[FloatArray, FloatArray]:
    k, m = np.broadcast_arrays(np.asarray(errors, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    if (k < 0).any() or (m < 0).any() or (k > m).any():
        raise ValueError("counts must satisfy 0 <= errors <= trials")
    return k, m


def _check_level(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} is {value!r}; it must lie strictly between 0 and 1")


def clopper_pearson_upper(errors: ArrayLike, trials: ArrayLike, delta: float) -> FloatArray:
    """Exact upper bound of a binomial probability, P(p > bound) <= delta (Clopper, Pearson 1934).

    errors k and trials m broadcast; the result is the (1 - delta) quantile of Beta(k + 1, m - k),
    and 1 if k = m or there are no trials.
    """
    _check_level("delta", delta)
    k, m = _counts(errors, trials)
    inner = special.betainccinv(k + 1.0, np.where(k < m, m - k, 1.0), delta)
    return np.asarray(np.where(k < m, inner, 1.0), dtype=np.float64)


def clopper_pearson_lower(successes: ArrayLike, trials: ArrayLike, delta: float) -> FloatArray:
    """Exact lower bound of a binomial probability, P(p < bound) <= delta; 0 if successes = 0."""
    _check_level("delta", delta)
    k, m = _counts(successes, trials)
    inner = special.betaincinv(np.where(k > 0, k, 1.0), m - k + 1.0, delta)
    return np.asarray(np.where(k > 0, inner, 0.0), dtype=np.float64)


def binomial_p_value(errors: ArrayLike, trials: ArrayLike, alpha: float) -> FloatArray:
    """P(Bin(m, alpha) <= k): the exact test of "the error probability is above alpha".

    1 if there are no trials. Computed as the incomplete beta function I_{1-alpha}(m - k, k + 1).
    """
    _check_level("alpha", alpha)
    k, m = _counts(errors, trials)
    inner = special.betainc(np.where(k < m, m - k, 1.0), k + 1.0, 1.0 - alpha)
    return np.asarray(np.where(k < m, inner, 1.0), dtype=np.float64)


def randomised_binomial_p_value(
    errors: ArrayLike, trials: ArrayLike, alpha: float, uniform: float
) -> FloatArray:
    """P(K < k) + uniform * P(K = k) for K ~ Bin(m, alpha) (Stevens 1950): exactly uniform at alpha.

    `uniform` must be drawn from U(0, 1) before any label is read, once for a whole certificate.
    """
    _check_unit("uniform", uniform)
    k, m = _counts(errors, trials)
    at_most = binomial_p_value(k, m, alpha)
    below = np.where(k > 0, binomial_p_value(np.maximum(k - 1, 0), m, alpha), 0.0)
    return np.asarray(below + uniform * (at_most - below), dtype=np.float64)


def _check_unit(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {value!r}; it must lie between 0 and 1")


def randomised_clopper_pearson_upper(
    errors: ArrayLike, trials: ArrayLike, delta: float, uniform: float
) -> FloatArray:
    """Upper bound that inverts `randomised_binomial_p_value`: never above the Clopper-Pearson bound."""
    _check_level("delta", delta)
    _check_unit("uniform", uniform)
    k, m = _counts(errors, trials)
    low, high = np.zeros(k.shape), np.ones(k.shape)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = np.where(k > 0, special.betainc(m - k + 1.0, np.maximum(k, 1.0), 1.0 - middle), 0.0)
        at_most = np.where(k < m, special.betainc(np.maximum(m - k, 1.0), k + 1.0, 1.0 - middle), 1.0)
        rejected = below + uniform * (at_most - below) <= delta
        low, high = np.where(rejected, low, middle), np.where(rejected, middle, high)
    return high


def _bernoulli_divergence(mean: FloatArray, alpha: FloatArray) -> FloatArray:
    """KL(Bernoulli(mean) || Bernoulli(alpha)), with 0 log 0 = 0."""
    return np.asarray(special.rel_entr(mean, alpha) + special.rel_entr(1.0 - mean, 1.0 - alpha))


def _hoeffding_bentkus(mean: FloatArray, m: FloatArray, alpha: FloatArray) -> FloatArray:
    hoeffding = np.exp(-m * _bernoulli_divergence(np.minimum(mean, alpha), alpha))
    # A mean of 0/1 losses times m is an integer up to rounding, which the ceiling must not see.
    count = np.minimum(np.ceil(m * mean - 1e-9 * (1.0 + m * mean)), m)
    tail = np.where(count < m, special.betainc(np.maximum(m - count, 1.0), count + 1.0, 1.0 - alpha), 1.0)
    return np.asarray(np.minimum(1.0, np.minimum(hoeffding, math.e * tail)))


def hoeffding_bentkus_p_value(mean_loss: ArrayLike, trials: ArrayLike, alpha: float) -> FloatArray:
    """p-value of "the mean of losses in [0, 1] is above alpha" (RCPS, arXiv 2101.02703, section 3.1).

    min(exp(-m KL(min(mean, alpha) || alpha)), e P(Bin(m, alpha) <= ceil(m mean))); 1 without data.
    """
    _check_level("alpha", alpha)
    mean, m = np.broadcast_arrays(
        np.asarray(mean_loss, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    )
    if ((mean < 0) | (mean > 1)).any() or (m < 0).any():
        raise ValueError("mean_loss must lie in [0, 1] and trials must not be negative")
    return _hoeffding_bentkus(mean, m, np.full(mean.shape, alpha))


def hoeffding_bentkus_upper(mean_loss: ArrayLike, trials: ArrayLike, delta: float) -> FloatArray:
    """Upper bound of the mean of losses in [0, 1] that inverts `hoeffding_bentkus_p_value`."""
    _check_level("delta", delta)
    mean, m = np.broadcast_arrays(
        np.asarray(mean_loss, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    )
    low, high = np.array(mean, dtype=np.float64), np.ones(mean.shape)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        rejected = _hoeffding_bentkus(mean, m, np.clip(middle, 1e-300, 1.0 - 1e-16)) <= delta
        low, high = np.where(rejected, low, middle), np.where(rejected, middle, high)
    return high


def wsr_betting_upper(losses: ArrayLike, delta: float) -> float:
    """Upper bound of the mean of independent losses in [0, 1], losses [n], by betting.

    Waudby-Smith and Ramdas (arXiv 2010.09686), as used in RCPS (2101.02703, section 3.1.3): the
    capital prod(1 - nu_i (L_i - R)) bets against "the mean is R"; every R at which it exceeds
    1 / delta once is refuted. The bets nu_i use earlier losses only, so the order must be fixed without
    the losses.
    """
    _check_level("delta", delta)
    loss = np.asarray(losses, dtype=np.float64)
    if loss.ndim != 1 or ((loss < 0) | (loss > 1)).any() or np.isnan(loss).any():
        raise ValueError("losses must be one-dimensional with values in [0, 1]")
    n = len(loss)
    if n == 0:
        return 1.0
    index = np.arange(1, n + 1)
    running_mean = (0.5 + np.cumsum(loss)) / (1 + index)
    running_variance = (0.25 + np.cumsum((loss - running_mean) ** 2)) / (1 + index)
    previous_variance = np.concatenate(([0.25], running_variance[:-1]))
    bets = np.minimum(1.0, np.sqrt(2.0 * math.log(1.0 / delta) / (n * previous_variance)))

    def refuted(mean: float) -> bool:
        # A bet of 1 on a loss of 1 against a mean of 0 loses everything: log 0 is intended.
        with np.errstate(divide="ignore"):
            capital = np.cumsum(np.log1p(-bets * (loss - mean)))
        return bool(capital.max() >= math.log(1.0 / delta))

    if not refuted(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if refuted(middle) else (middle, high)
    return high


def dkw_margin(n: int, delta: float, *, two_sided: bool = False) -> float:
    """Half-width of a band that holds an empirical distribution function of n points everywhere at once.

    Dvoretzky, Kiefer, Wolfowitz with Massart's constant (1990): sqrt(ln(1 / delta) / (2 n)) on one
    side (delta <= 1/2), ln(2 / delta) on both. 1 without data.
    """
    _check_level("delta", delta)
    if n < 0:
        raise ValueError(f"n is {n}; it must not be negative")
    if not two_sided and delta > 0.5:
        raise ValueError(f"delta is {delta}; the one-sided inequality holds up to 1/2 only")
    if n == 0:
        return 1.0
    return min(1.0, math.sqrt(math.log((2.0 if two_sided else 1.0) / delta) / (2.0 * n)))


def dkw_band(values: ArrayLike, delta: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Simultaneous band of P(X >= x): (x [u] ascending, lower [u], upper [u]), two-sided."""
    x, first = np.unique(np.sort(np.asarray(values, dtype=np.float64)), return_index=True)
    n = int(np.size(values))
    share = 1.0 - first / max(n, 1)
    margin = dkw_margin(n, delta, two_sided=True)
    return x, np.clip(share - margin, 0.0, 1.0), np.clip(share + margin, 0.0, 1.0)


def fewest_answered(errors: ArrayLike, alpha: float, delta: float) -> IntArray:
    """Smallest m at which k errors among m prove "at most alpha": P(Bin(m, alpha) <= k) <= delta.

    For alpha = .01, delta = .05 and k = 0, 1, 2: 299, 473, 628. Bisection between two Poisson
    brackets: a binomial count is stochastically below Poisson(-m ln(1 - alpha)), and its lower tail
    is lighter than that of Poisson(m alpha).
    """
    _check_level("alpha", alpha)
    _check_level("delta", delta)
    k = np.asarray(errors, dtype=np.float64)
    if (k < 0).any():
        raise ValueError("errors must not be negative")
    rate = special.gammainccinv(k + 1.0, delta)
    low = np.maximum(np.floor(rate / -math.log1p(-alpha)) - 1.0, k)  # does not certify
    high = np.maximum(np.ceil(rate / alpha) + 1.0, k + 1.0)
    while (short := binomial_p_value(k, high, alpha) > delta).any():  # delta near 1: no light tail
        high = np.where(short, 2.0 * high, high)
    while (high - low > 1.0).any():
        middle = np.floor(0.5 * (low + high))
        passes = (binomial_p_value(k, np.maximum(middle, k), alpha) <= delta) & (middle > k)
        low, high = np.where(passes, low, middle), np.where(passes, middle, high)
    return np.asarray(high, dtype=np.int64)


@lru_cache(maxsize=256)
def _milestones(alpha: float, delta: float, n: int) -> IntArray:
    count = 8
    while True:
        table = fewest_answered(np.arange(count), alpha, delta)
        if table[-1] > n:
            table.setflags(write=False)
            return table
        count = max(2 * count, int(1.05 * n * alpha) + 8)


def milestones(alpha: float, delta: float, n: int) -> IntArray:
    """`fewest_answered` for 0, 1, 2, ... errors, up to and including the first value above n."""
    # One table serves all n up to the next power of two, so that few tables are computed.
    table = _milestones(alpha, delta, 1 << int(n).bit_length())
    first_above = int(np.searchsorted(table, n, side="right"))
    return np.asarray(table[: first_above + 1], dtype=np.int64)


def most_errors(answered: ArrayLike, alpha: float, delta: float) -> IntArray:
    """Largest number of errors among m answered that still proves "at most alpha"; -1 if none does."""
    m = np.asarray(answered, dtype=np.int64)
    table = milestones(alpha, delta, int(m.max(initial=0)))
    return np.asarray(np.searchsorted(table, m, side="right") - 1, dtype=np.int64)
