"""A certificate from all frames of each group, by betting on group means.

For "random group, random frame": with A_g and W_g the shares of group g's frames that are answered
and answered wrongly, the risk is E[W] / E[A], and it exceeds alpha where E[alpha A - W] < 0. Then
prod_g (1 + lambda (alpha A_g - W_g)) with 0 < lambda < 1 / (1 - alpha) has a mean of at most 1, so it
reaches 1 / delta with probability at most delta (Markov; Waudby-Smith and Ramdas, arXiv 2010.09686).

Worth it where frames of a group differ much in their errors: at a risk of .5 % and 1000 groups of ten
it proves 1 % in .97 / .85 / .39 / .13 of draws at an intra-group correlation of 0 / .1 / .5 / 1, against
.45 for one frame a group. Choose between the two on the selection split, not here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from calibration.bounds import milestones
from calibration.certificate import Certificate, RiskTarget
from calibration.decision import answers
from calibration.groups import group_codes, group_means
from calibration.inputs import read_scores, read_thresholds
from calibration.scores import BoolArray, FloatArray, IntArray

DEFAULT_BET = 0.9
"""Share of the largest possible bet, 1 / (1 - alpha). Near 1 is best for uncorrelated frames, near .7
for fully correlated ones."""


def certify_group_means(
    confidence: ArrayLike,
    errors: ArrayLike,
    thresholds: ArrayLike,
    target: RiskTarget,
    groups: ArrayLike,
    *,
    bet: float = DEFAULT_BET,
    split_digest: str | None = None,
    engine: str | None = None,
) -> Certificate:
    """Certify the loosest threshold for "random group, random frame" with all frames [n] of all groups.

    A fixed sequence along thresholds [T], strict to loose, from the first at which as many groups are
    answered (in sum of shares) as one error among independent units needs. In the certificate `n`
    counts groups; `answered`, `errors` and `images` count frames; `coverage` is the mean share
    answered in a group. ValueError for malformed input only.
    """
    scores, wrong = read_scores(confidence, errors)
    grid = read_thresholds(thresholds)
    codes = group_codes(groups, len(scores))
    if not 0.0 < bet < 1.0:
        raise ValueError(f"bet is {bet!r}; it must lie strictly between 0 and 1")
    sizes = np.bincount(codes).astype(np.float64)
    stake = bet / (1.0 - target.alpha)
    last, proven, failed = -1, None, None
    for index in _tested(scores, grid, codes, sizes, target, stake):
        step = _shares(scores, wrong, float(grid[index]), codes, sizes)
        if _log_capital(step, target.alpha, stake) < -math.log(target.delta):
            failed = step
            break
        last, proven = int(index), step
    count = len(sizes)
    if proven is None:
        return Certificate(
            feasible=False,
            meets_coverage=False,
            method=_METHOD,
            kind="pac",
            population="random group, random frame",
            alpha=target.alpha,
            delta=target.delta,
            n=count,
            answered=0,
            errors=0,
            threshold=None,
            risk_upper_bound=None,
            coverage=0.0,
            coverage_lower_bound=0.0,
            split_digest=split_digest,
            engine=engine,
            needed=_shortfall(failed, count, target, stake),
            images=len(scores),
        )
    chosen = answers(scores, float(grid[last]))
    coverage = float(proven[0].mean())
    # The grid was fixed beforehand: Hoeffding at each of its points, delta shared among them.
    margin = math.sqrt(math.log(len(grid) / target.delta) / (2.0 * count))
    return Certificate(
        feasible=True,
        meets_coverage=coverage >= target.min_coverage,
        method=_METHOD,
        kind="pac",
        population="random group, random frame",
        alpha=target.alpha,
        delta=target.delta,
        n=count,
        answered=int(chosen.sum()),
        errors=int((chosen & wrong).sum()),
        threshold=float(grid[last]),
        risk_upper_bound=target.alpha if failed is not None else _proven_risk(proven, target, stake),
        coverage=coverage,
        coverage_lower_bound=max(0.0, coverage - margin),
        split_digest=split_digest,
        engine=engine,
        images=len(scores),
    )


_METHOD = "fixed sequence, betting on group means"

Shares = tuple[FloatArray, FloatArray]
"""(share answered, share answered wrongly) in each group, [G] each."""


def _shares(
    scores: FloatArray, wrong: BoolArray, threshold: float, codes: IntArray, sizes: FloatArray
) -> Shares:
    answered = answers(scores, threshold)
    return group_means(answered, codes, sizes), group_means(answered & wrong, codes, sizes)


def _log_capital(shares: Shares, alpha: float, stake: float) -> float:
    answered, wrong = shares
    return float(np.log1p(stake * (alpha * answered - wrong)).sum())


def _least_groups(target: RiskTarget, stake: float) -> int:
    """Fully answered groups without an error that reach 1 / delta."""
    return math.ceil(-math.log(target.delta) / math.log1p(stake * target.alpha))


def _tested(
    scores: FloatArray,
    grid: FloatArray,
    codes: IntArray,
    sizes: FloatArray,
    target: RiskTarget,
    stake: float,
) -> IntArray:
    """Indices of the grid from the start on; the start looks at scores only."""
    if len(scores) == 0:
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(-scores, kind="stable")
    groups_answered = np.concatenate([[0.0], np.cumsum(1.0 / sizes[codes[order]])])
    at_step = groups_answered[np.searchsorted(-scores[order], -grid, side="right")] + 1e-9
    one_error = float(milestones(target.alpha, target.delta, len(sizes))[:2][-1])
    least = float(_least_groups(target, stake))
    start = one_error if at_step[-1] >= one_error else least
    return np.flatnonzero(at_step >= start)


def _proven_risk(shares: Shares, target: RiskTarget, stake: float) -> float:
    """The smallest risk that the last step refutes, with the same bet."""
    goal = -math.log(target.delta)
    if _log_capital(shares, 0.0, stake) >= goal:
        return 0.0
    return float(brentq(lambda a: _log_capital(shares, a, stake) - goal, 0.0, target.alpha))


def _shortfall(failed: Shares | None, groups: int, target: RiskTarget, stake: float) -> str:
    least = _least_groups(target, stake)
    if failed is None:
        return (
            f"betting on group means needs the equivalent of at least {least} fully answered groups without "
            f"an error, and there are {groups} groups: label at least {max(1, least - groups)} more groups, "
            "or answer more of each"
        )
    growth = _log_capital(failed, target.alpha, stake) / groups
    risk = float(failed[1].mean() / failed[0].mean())
    if growth <= 0.0:
        return (
            f"{100 * risk:.2g} % of the first answers are wrong, not clearly below alpha = {target.alpha:g}: "
            "more groups will not help, a better classifier or confidence score is needed"
        )
    missing = math.ceil(-math.log(target.delta) / growth) - groups
    return (
        f"{100 * risk:.2g} % of the first answers are wrong; at this rate about {max(1, missing)} more "
        "labelled groups are needed"
    )
