"""Self-test of experiments on the service's own log: equal arms, dealt anew many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from calibration.experiments.metrics import METRICS
from calibration.experiments.self_test import Deal, FalseShare, SelfTest, self_test
from monitoring.delivery.log_reader import LogReader
from monitoring.errors import MonitoringError
from monitoring.experiments.unit_log import TooFewUnits, read_units

FEWEST_UNITS: Final = 100
"""Units below which nothing would be concluded of any deal"""


Dealer = Callable[[int, float], Deal]
"""(number of units, share of the challenger) -> deals of these units"""


class TermsRefused(MonitoringError, ValueError):
    """A test cannot be made in the way that was asked for."""


@dataclass(frozen=True, slots=True)
class SelfTestTerms:
    """How the test is made. Raises TermsRefused."""

    share: float = 0.5
    """Of the units, of the pretended challenger"""
    deals: int = 100
    looks: int = 20
    """Reads of each deal"""

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise TermsRefused(f"share is {self.share!r}; it must lie strictly between 0 and 1")


def run_self_test(readers: Sequence[LogReader], terms: SelfTestTerms, dealer: Dealer) -> SelfTest:
    """The test on the logs. Raises TooFewUnits."""
    log = read_units(readers, slices=2 * terms.looks)
    units = len(log.first_at)
    if units < FEWEST_UNITS:
        raise TooFewUnits(
            f"the event log holds {units} units, and {FEWEST_UNITS} are needed: wait until more cameras or "
            "users have been answered, or name their unit in the requests"
        )
    read = [
        name for name, metric in METRICS.items() if (metric.counts(log.table)[1] > 0.0).sum() >= FEWEST_UNITS
    ]
    return self_test(
        log.table,
        dealer(units, terms.share),
        share=terms.share,
        metrics=read,
        deals=terms.deals,
        looks=terms.looks,
    )


def self_test_values(found: SelfTest) -> dict[str, Any]:
    """The outcome as plain JSON values."""
    return {
        "passed": found.passed,
        "units": found.units,
        "requests": found.requests,
        "looks": found.looks,
        "deals": found.ratio.deals,
        "together": _values(found.together),
        "metrics": {one.name: _values(one) for one in found.single},
        "sample_ratio": _values(found.ratio),
    }


def _values(one: FalseShare) -> dict[str, Any]:
    return {"found": one.found, "share": one.share, "allowed": one.allowed, "within": one.within}
