"""`demur experiment self-test`: equal arms, dealt anew many times from the service's own log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from calibration.experiments.metrics import METRICS
from calibration.experiments.self_test import Deal, FalseShare, SelfTest, self_test
from calibration.scores import IntArray
from demur.commands.experiment import TooFewUnits, data_folders, log_readers, read_units
from service.lineup.assignment import POINTS, point_of

FEWEST_UNITS: Final = 100
"""Units below which nothing would be concluded of any deal"""


def run_self_test(
    logs: tuple[Sequence[Path], str | None], *, share: float, deals: int, looks: int
) -> SelfTest:
    """The test on the logs (data folders, model). Raises TooFewUnits, NoEvents and ValueError."""
    log = read_units(log_readers(data_folders(logs[0]), logs[1]), slices=2 * looks)
    units = len(log.first_at)
    if units < FEWEST_UNITS:
        raise TooFewUnits(
            f"the event log holds {units} units, and {FEWEST_UNITS} are needed: wait until more cameras or "
            "users have been answered, or name their unit in the requests"
        )
    read = [
        name for name, metric in METRICS.items() if (metric.counts(log.table)[1] > 0.0).sum() >= FEWEST_UNITS
    ]
    return self_test(log.table, _dealt(units, share), share=share, metrics=read, deals=deals, looks=looks)


def self_test_lines(found: SelfTest) -> Iterator[str]:
    """The outcome in words and a table."""
    if found.passed:
        yield "passed: equal arms are told apart no more often than is allowed."
    else:
        yield (
            "FAILED: equal arms are told apart more often than is allowed. Units of this service are not "
            "independent: deal by something larger, such as a site instead of a camera."
        )
    yield ""
    yield (
        f"{found.ratio.deals} deals of {found.units:,} units and {found.requests:,} requests, each read "
        f"{found.looks} times."
    )
    yield ""
    yield f"{'conclusions of equal arms in':<32}{'deals':>8}{'share':>9}{'allowed':>9}"
    for one in (*found.single, found.together, found.ratio):
        fault = "" if one.within else "   too many"
        yield f"{one.name:<32}{one.found:>8}{one.share:>9.3f}{one.allowed:>9.3f}{fault}"


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


def _dealt(units: int, share: float) -> Deal:
    """Deals by the hash that deals in the service, each with a salt of its own."""

    def deal(number: int) -> IntArray:
        points = [point_of("self-test", str(number), str(unit)) for unit in range(units)]
        return (np.array(points) < share * POINTS).astype(np.int64)

    return deal
