"""Self-test: equal arms, dealt anew many times from what one bundle has really done, read step by step.

Where the units of a service are not independent, as if two cameras look at one road, or come from few hands,
no formula says so, and this test does: it finds more conclusions than are allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import LEVEL, compare
from calibration.experiments.multiplicity import conclude_together
from calibration.experiments.sample_ratio import LEVEL as RATIO_LEVEL
from calibration.experiments.sample_ratio import sample_ratio
from calibration.scores import IntArray
from calibration.sequential.baseline import beta_quantile

Deal = Callable[[int], IntArray]
"""Number of the deal -> arm [U] of each unit, 0 or 1"""
_DOUBT = 0.01
"""Chance at most that a share that is allowed is called too high"""


@dataclass(frozen=True, slots=True)
class FalseShare:
    """How often something was concluded of equal arms, against how often it may be."""

    name: str
    found: int
    deals: int
    allowed: float
    """Share"""

    @property
    def share(self) -> float:
        return self.found / self.deals

    @property
    def within(self) -> bool:
        """Whether the share may be at most `allowed`, as far as so many deals can say."""
        if self.found == 0:
            return True
        # The lower bound of Clopper and Pearson; the serving process, which also comes here, has no SciPy.
        return beta_quantile(_DOUBT, self.found, self.deals - self.found + 1) <= self.allowed


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The outcome of all deals."""

    units: int
    requests: int
    looks: int
    """Reads per deal"""
    together: FalseShare
    """Deals with any conclusion, by Holm over all metrics"""
    single: tuple[FalseShare, ...]
    """Deals with a conclusion in each metric by itself"""
    ratio: FalseShare

    @property
    def passed(self) -> bool:
        return self.together.within and self.ratio.within and all(one.within for one in self.single)


def self_test(
    table: ArmTable, deal: Deal, *, share: float, metrics: Sequence[str], deals: int = 100, looks: int = 20
) -> SelfTest:
    """Deal the units of a table anew `deals` times, each read `looks` times, and count the conclusions.

    The arms and the strata of the table are not read. `share`: of the units, of the pretended challenger, in
    (0, 1). Raises ValueError.
    """
    if deals < 1 or looks < 1:
        raise ValueError(f"deals is {deals} and looks is {looks}; both must be at least 1")
    if not 0.0 < share < 1.0:
        raise ValueError(f"share is {share!r}; it must lie strictly between 0 and 1")
    ordered = table.take(np.argsort(table.first_at, kind="stable"))
    _, unit = np.unique(ordered.unit, return_inverse=True)
    same = replace(
        ordered,
        arms=("control", "challenger"),
        unit=unit,
        arm=np.zeros(len(unit), dtype=np.int64),
        stratum=np.zeros(len(unit), dtype=np.int64),
        shares=np.array([[1.0 - share, share]]),
    )
    ends = np.unique(np.linspace(0, len(same), looks + 1).round().astype(np.int64))[1:]
    outcomes = [_read(replace(same, arm=deal(number)[unit]), metrics, ends) for number in range(deals)]
    alone, joint, mismatched = (np.array(column) for column in zip(*outcomes, strict=True))
    return SelfTest(
        units=int(unit.max(initial=-1)) + 1,
        requests=int(same.requests.sum()),
        looks=len(ends),
        together=FalseShare("any metric, by Holm", int(joint.sum()), deals, LEVEL),
        single=tuple(
            FalseShare(name, int(found), deals, LEVEL)
            for name, found in zip(metrics, alone.sum(axis=0), strict=True)
        ),
        ratio=FalseShare("sample ratio", int(mismatched.sum()), deals, RATIO_LEVEL),
    )


def _read(table: ArmTable, metrics: Sequence[str], ends: IntArray) -> tuple[list[bool], bool, bool]:
    """(a conclusion in each metric, one by Holm, a mismatch), at any look of one deal."""
    alone, joint = [False] * len(metrics), False
    for end in ends:
        so_far = table.take(np.arange(end))
        found = [compare(so_far, name) for name in metrics]
        alone = [seen or _concluded(one.conclusion) for seen, one in zip(alone, found, strict=True)]
        joint = joint or any(_concluded(one.conclusion) for one, _ in conclude_together(found))
    return alone, joint, sample_ratio(table).mismatch


def _concluded(conclusion: str) -> bool:
    return conclusion in ("better", "worse")
