"""Certificate from all frames of each group, by betting on group means.

For "random group, random frame": with A_g and W_g the shares of group g's frames that are answered
and answered wrongly, the risk is E[W] / E[A], and it exceeds alpha if E[alpha A - W] < 0. Then
prod_g (1 + lambda (alpha A_g - W_g)) with 0 < lambda < 1 / (1 - alpha) has a mean of at most 1, so it
stays below 1 / delta with probability at least 1 - delta, after every number of groups in a random order
(Ville 1939; Waudby-Smith and Ramdas, arXiv 2010.09686). The largest capital on the way therefore proves more
than the last one, at the same level.

Useful if the frames of a group differ in their errors: at a risk of .5 % and 1000 groups of ten it proves 1 %
in .98 / .89 / .56 / .34 of draws at an intra-group correlation of 0 / .1 / .5 / 1 (.97 / .86 / .42 / .14 by
the last capital), against .45 for one frame per group; at a risk of exactly 1 % in .000 / .003 / .033 / .045.
A mixture over bets has less power at every correlation (.88 / .76 / .47 / .29). Choose between betting and
one frame per group on the selection split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.exact.issuer import Issuer, Proven
from calibration.exact.path_test import empty_part_counts, part_counts
from calibration.exact.paths import PolicyPath, StagePath, StepOutcome
from calibration.exact.shortfall import LIKELY
from calibration.exact.steps import start_of
from calibration.exact.strata import Parts
from calibration.groups import Sampling, all_frames, group_codes
from calibration.inputs import read_thresholds
from calibration.scores import BoolArray, FloatArray, IntArray

DEFAULT_BET = 0.9
"""Share of the largest possible bet, 1 / (1 - alpha). Near 1 is best for uncorrelated frames, near .7
for fully correlated ones."""

BETTING_METHOD = "fixed sequence, betting on group means"


def certify_path_by_betting(
    path: PolicyPath,
    target: RiskTarget,
    sampling: Sampling,
    parts: Parts | None = None,
    *,
    planned: RiskTarget | None = None,
    bet: float = DEFAULT_BET,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Certify the last step of `path` for "random group, random frame" with all frames [n] of all groups.

    A fixed sequence along the path as planned, from the first step at which each part has as many answered
    groups (in sum of shares) as independent units with one error need; a step passes if the bet on each part
    does. `planned` chooses that first step, as in `certify_path`.
    In the certificate `n` counts groups; `answered`, `errors`, `images` and the parts count frames;
    `coverage` is the mean share answered in a group.
    """
    if not 0.0 < bet < 1.0:
        raise ValueError(f"bet is {bet!r}; it must lie strictly between 0 and 1")
    parts = parts or Parts.whole(path.n)
    table = _Groups.of(sampling, path.n)
    stake = bet / (1.0 - target.alpha)
    units = all_frames(len(table), path.n, sampling.seed)
    issuer = Issuer(BETTING_METHOD + parts.title, target, units, certified_on, parts.each)
    planned = planned or target
    starts = table.starts(path, parts, planned, stake)
    last, proven, failed = -1, None, None
    for step in range(path.steps if path.n else 0):
        shares = table.shares(path.outcome(step), parts)
        if (shares.answered.sum(axis=1) + _ROUNDING < starts).any():
            continue
        if (shares.log_capital(target.alpha, stake) < -math.log(target.delta)).any():
            failed = shares
            break
        last, proven = step, shares
    if proven is None:
        needed = _shortfall(failed, parts, len(table), planned if failed is None else target, stake)
        return issuer.infeasible(needed, empty_part_counts(path, parts))
    outcome = path.outcome(last)
    coverage = float(table.means(outcome.answered).mean())
    # The path is fixed beforehand: Hoeffding at each of its points, delta shared among them.
    margin = math.sqrt(math.log(path.steps / target.delta) / (2.0 * len(table)))
    risk = target.alpha if failed is not None else proven.risk(target, stake)
    return issuer.feasible(
        Proven(path.threshold(last), int(outcome.answered.sum()), int(outcome.wrong.sum()), risk),
        coverage=coverage,
        coverage_lower_bound=max(0.0, coverage - margin),
        parts=part_counts(parts, outcome),
    )


def certify_group_means(
    confidence: ArrayLike,
    errors: ArrayLike,
    thresholds: ArrayLike,
    target: RiskTarget,
    sampling: Sampling,
    *,
    bet: float = DEFAULT_BET,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """`certify_path_by_betting` with one classifier: confidence, errors [n], thresholds [T], strict to
    loose. ValueError for malformed input only."""
    path = StagePath.read(confidence, errors, read_thresholds(thresholds))
    return certify_path_by_betting(path, target, sampling, bet=bet, certified_on=certified_on)


_ROUNDING = 1e-9
"""Tolerance for shares such as 3 times 1 / 3, which must add up to a group."""


@dataclass(frozen=True, slots=True)
class _Shares:
    """Shares of each group's frames, for each part; [P, G] each, groups in the random order of the bets."""

    answered: FloatArray
    wrong: FloatArray

    def log_capital(self, alpha: float, stake: float) -> FloatArray:
        """Largest log capital [P] on the way of the bet against "the risk of this part exceeds alpha"."""
        return np.asarray(np.cumsum(self.growth(alpha, stake), axis=1).max(axis=1), dtype=np.float64)

    def growth(self, alpha: float, stake: float) -> FloatArray:
        """Growth of the log capital by each group, [P, G]."""
        return np.asarray(np.log1p(stake * (alpha * self.answered - self.wrong)), dtype=np.float64)

    def risk(self, target: RiskTarget, stake: float) -> float:
        """Smallest risk that the same bet refutes in every part."""
        goal = -math.log(target.delta)
        if (self.log_capital(0.0, stake) >= goal).all():
            return 0.0
        return float(brentq(lambda a: self.log_capital(a, stake).min() - goal, 0.0, target.alpha))


@dataclass(frozen=True, slots=True)
class _Groups:
    """Group of each frame; the groups are numbered in a random order that no label enters."""

    codes: IntArray
    """[n]"""
    sizes: FloatArray
    """[G]"""

    @classmethod
    def of(cls, sampling: Sampling, n: int) -> _Groups:
        if sampling.groups is None:
            raise ValueError("groups is None; betting on group means needs the group of each image")
        codes = group_codes(sampling.groups, n)
        order = np.random.default_rng([sampling.seed, 3]).permutation(int(codes.max(initial=-1)) + 1)
        codes = np.asarray(order[codes], dtype=np.int64)
        return cls(codes, np.bincount(codes).astype(np.float64))

    def __len__(self) -> int:
        return len(self.sizes)

    def means(self, values: BoolArray) -> FloatArray:
        """Share of each group's frames for which `values` [n] holds, [G]."""
        return np.asarray(np.bincount(self.codes, values, len(self)) / self.sizes, dtype=np.float64)

    def shares(self, outcome: StepOutcome, parts: Parts) -> _Shares:
        part = parts.of(outcome.answer)
        inside = [part == code for code in range(len(parts))]
        return _Shares(
            np.stack([self.means(outcome.answered & rows) for rows in inside]),
            np.stack([self.means(outcome.wrong & rows) for rows in inside]),
        )

    def starts(self, path: PolicyPath, parts: Parts, target: RiskTarget, stake: float) -> FloatArray:
        """Groups answered (in sum of shares) from which each part is tested, [P]; reads no label."""
        # Only if the answers are kept may calibration counts choose the steps; else every step is tested.
        if not path.n or not path.keeps_answers:
            return np.zeros(len(parts))
        reachable = self.shares(path.outcome(path.steps - 1), parts).answered.sum(axis=1) + _ROUNDING
        fewest = start_of(0, target), float(_least_groups(target, stake))
        starts = [float(start_of(int(most), target)) for most in reachable]
        return np.array([fewest[1] if start == fewest[0] else start for start in starts])


def groups_without_error(target: RiskTarget, bet: float = DEFAULT_BET) -> int:
    """Fewest groups, all frames of which are answered without an error, that certify `target`."""
    return _least_groups(target, bet / (1.0 - target.alpha))


def _least_groups(target: RiskTarget, stake: float) -> int:
    """Number of fully answered groups without an error that reaches 1 / delta."""
    return math.ceil(-math.log(target.delta) / math.log1p(stake * target.alpha))


def _shortfall(failed: _Shares | None, parts: Parts, groups: int, target: RiskTarget, stake: float) -> str:
    least = _least_groups(target, stake)
    if failed is None or float(failed.answered.sum(axis=1).min()) < least:
        each = "" if parts.each is None else f" for each {parts.each}"
        return (
            f"betting on group means needs the equivalent of at least {least} fully answered groups without "
            f"an error{each}, and there are {groups} groups: label at least {max(1, least - groups)} more "
            "groups, or answer more of each"
        )
    growths = failed.growth(target.alpha, stake).mean(axis=1)
    worst = int(growths.argmin())
    growth = float(growths[worst])
    risk = float(failed.wrong[worst].mean() / failed.answered[worst].mean())
    about = "" if parts.each is None else f"{parts.each} {parts.names[worst]!r}: "
    if growth <= 0.0:
        return (
            f"{about}{100 * risk:.2g} % of the first answers are wrong, not clearly below alpha = "
            f"{target.alpha:g}: more groups will not help, a better classifier or confidence score is needed"
        )
    seen = f"{about}{100 * risk:.2g} % of the first answers are wrong"
    growth_of_group = failed.growth(target.alpha, stake)[worst]
    size = groups
    while size < _MOST_GROUPS * groups:
        size = math.ceil(1.25 * size)
        if (chance := _chance(growth_of_group, size, target)) >= LIKELY:
            return (
                f"{seen}; a fresh split of {size} groups, {size - groups} more labelled groups than here, "
                f"would be certified in about {100 * chance:.0f} %"
            )
    return (
        f"{seen}; a fresh split of {size} groups would be certified in about {100 * chance:.0f} %: a better "
        "classifier or confidence score is needed"
    )


_MOST_GROUPS = 20
"""Largest fresh split that a hint considers, over the present one"""


def _chance(growth: FloatArray, groups: int, target: RiskTarget) -> float:
    """Share of resampled splits of so many groups that reach 1 / delta, from the growth by each group [G]."""
    rng = np.random.default_rng(0)
    proven = [
        np.cumsum(rng.choice(growth, groups)).max() >= -math.log(target.delta) for _ in range(_RESAMPLES)
    ]
    return float(np.mean(proven))


_RESAMPLES = 200
