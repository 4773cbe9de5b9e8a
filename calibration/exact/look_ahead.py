"""Look-ahead test: errors below a rank help to refute that the risk up to the rank exceeds alpha.

Assumption: below a threshold whose risk exceeds alpha, images are wrong at a rate of at least alpha. It holds
if the error probability never falls as the confidence falls. Then "the risk at rank j exceeds alpha" can be
tested with the errors after rank j too. With K_j errors among the j most confident units and k_j the most
errors with P(Bin(j, alpha) <= k_j) <= delta, backwards from V_{n+1} = 0:

    T_j = K_j <= k_j, or K_j = k_j + 1 and V_{j+1} >= r_j          V_j = 1 + V_{j+1} if T_j, else 0

and the ranks from the start on are certified up to start - 1 + V_start. T_j becomes false when an error is
added; under the null K_j is stochastically above Bin(j, alpha) and later errors above Bernoulli(alpha), so
the r_j that give P(T_j) <= delta at exactly alpha make every T_j a test of level delta. The test contains
the exact test at every rank.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

from calibration.bounds import binomial_p_value, most_errors
from calibration.certificate import LOOK_AHEAD_METHOD, UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.exact.issuer import Issuer, Proven
from calibration.exact.paths import StagePath
from calibration.exact.shortfall import describe_shortfall
from calibration.exact.stage_scores import StageScores
from calibration.exact.steps import start_of
from calibration.groups import UNGROUPED, Sampling, independent_units
from calibration.scores import BoolArray, FloatArray, IntArray

LONGEST_RUN = 1000
"""Largest r_j that is computed; a larger one is replaced by "never", which keeps the level and bounds the
table at n x allowed errors x this number."""


def certify_look_ahead(
    path: StagePath,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Certify the loosest calibration rank that the look-ahead test proves; no planned threshold is used.

    The certificate states the assumption. Its counts alone do not verify it, because errors below the
    threshold enter the test.
    """
    units = independent_units(path.n, sampling)
    stage = path.take(units.rows).stage
    n = len(stage)
    order = _descending(stage, sampling.seed)
    confidence, wrong = stage.confidence[order], stage.wrong[order]
    start = start_of(n, target)
    issuer = Issuer(LOOK_AHEAD_METHOD, target, units, certified_on)
    rank = start - 1 + _run_length(wrong, start, target) if start <= n else 0
    rank = _end_of_ties(confidence, rank)
    if rank < start:
        errors = np.cumsum(wrong).astype(np.int64)[start - 1 : start]
        needed = describe_shortfall(
            stage.confidence, stage.wrong, n, np.array([start])[: len(errors)], errors, target, units.name
        )
        return issuer.infeasible(needed)
    threshold = float(confidence[rank - 1])
    return issuer.feasible(Proven(threshold, rank, int(wrong[:rank].sum()), target.alpha))


def _descending(stage: StageScores, seed: int) -> IntArray:
    """Rows by falling confidence; ties in a random order that no label enters."""
    shuffled = np.random.default_rng([seed, 2]).permutation(len(stage))
    return np.asarray(shuffled[np.argsort(-stage.confidence[shuffled], kind="stable")], dtype=np.int64)


def _end_of_ties(confidence: FloatArray, rank: int) -> int:
    """The largest rank up to `rank` at which a block of equal confidences ends; confidence [n] descending."""
    if rank in (0, len(confidence)):
        return rank
    return int(np.searchsorted(-confidence, -confidence[rank], side="left"))


def _run_length(wrong: BoolArray, start: int, target: RiskTarget) -> int:
    """V_start: the number of ranks from `start` on that pass; wrong [n] by falling confidence."""
    n = len(wrong)
    allowed, needed = look_ahead_table(n, start, target.alpha, target.delta)
    errors = np.cumsum(wrong)
    run = 0
    for j in range(n, start - 1, -1):
        excess = int(errors[j - 1]) - int(allowed[j])
        run = run + 1 if excess <= 0 or (excess == 1 and run >= needed[j]) else 0
    return run


@lru_cache(maxsize=32)
def look_ahead_table(n: int, start: int, alpha: float, delta: float) -> tuple[IntArray, IntArray]:
    """(k_j, r_j) by rank j, both [n + 1]: the errors that pass, and the run that one error more needs.

    With G_j(c, v) = P(V_{j+1} >= v | K_j = c) at an error rate of exactly alpha, backwards from j = n:
    r_j is the least v with P(Bin(j, alpha) = k_j + 1) G_j(k_j + 1, v) <= delta - P(Bin(j, alpha) <= k_j).
    """
    ranks = np.arange(n + 1)
    allowed = most_errors(ranks, alpha, delta)
    needed = np.zeros(n + 1, dtype=np.int64)
    longest = min(LONGEST_RUN, n - start + 1)
    at_most = binomial_p_value(np.maximum(allowed, 0), np.maximum(ranks, 1), alpha)
    one_more = _binomial_mass(allowed + 1, ranks, alpha)
    # Rows: errors so far, up to one more than can pass at any rank and its successor; columns: v.
    g = np.zeros((int(allowed[n]) + 3, longest + 1))
    g[:, 0] = 1.0
    for j in range(n, start - 1, -1):
        k = int(allowed[j])
        room = delta - float(at_most[j])
        good = np.flatnonzero(one_more[j] * g[k + 1] <= room)
        needed[j] = int(good[0]) if len(good) else n + 1
        h = np.zeros_like(g)
        h[:, 0] = 1.0
        h[: k + 1, 1:] = g[: k + 1, :-1]
        if needed[j] <= longest:
            run = np.maximum(np.arange(longest), needed[j])
            h[k + 1, 1:] = g[k + 1, run]
        g[:-1] = (1.0 - alpha) * h[:-1] + alpha * h[1:]
        g[-1, 1:] = 0.0
    allowed.setflags(write=False)
    needed.setflags(write=False)
    return allowed, needed


def _binomial_mass(errors: IntArray, trials: IntArray, alpha: float) -> FloatArray:
    """P(Bin(m, alpha) = k), elementwise; 0 for k > m."""
    k, m = errors.astype(np.float64), trials.astype(np.float64)
    log = special.gammaln(m + 1.0) - special.gammaln(k + 1.0) - special.gammaln(np.maximum(m - k, 0.0) + 1.0)
    log = log + special.xlogy(k, alpha) + (m - k) * np.log1p(-alpha)
    return np.asarray(np.where(k <= m, np.exp(log), 0.0), dtype=np.float64)
