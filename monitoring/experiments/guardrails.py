"""Guardrails: is a challenger so much worse than the control that it must leave?

Each is the difference of a share of requests, by stratum and with the unit as the cluster, in an interval
that is valid at every look. A challenger leaves if the whole interval is beyond the limit. Without data, and
as long as the interval holds the limit, nothing is concluded: that is no pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import compare
from calibration.experiments.metrics import METRICS, Counts, Metric, share
from calibration.scores import IntArray
from monitoring.experiments.definition import Definition, Guard
from monitoring.experiments.unit_columns import UnitColumns

State = Literal["within", "inconclusive", "beyond"]

_WORDS: Final[dict[Guard, str]] = {
    "coverage": "answered requests",
    "risk": "wrong answers among audits",
    "errors": "failed requests",
    "latency": "slow requests",
}


@dataclass(frozen=True, slots=True)
class GuardReading:
    """One guardrail of one challenger at one look."""

    guard: Guard
    arm: str
    limit: float
    state: State
    control: float | None
    """The share of the control; None without data"""
    challenger: float | None
    harm: float | None
    """How much worse the challenger is"""
    low: float | None
    """Ends of the interval of the harm"""
    high: float | None
    units: tuple[int, int]
    """Of the control and of the challenger"""
    text: str
    """One sentence with the figures"""


def guard_readings(
    definition: Definition, rows: UnitColumns, table: ArmTable | None
) -> Iterator[GuardReading]:
    """The readings of the challengers that answer now. `table`: of `rows`; None without a request."""
    arms = tuple(definition.strata[-1].shares)
    guards = [guard for guard in _WORDS if definition.guardrails.limit(guard) is not None]
    level = definition.guardrails.level / max(1, len(arms) * len(guards))
    for guard in guards:
        limit = definition.guardrails.limit(guard) or 0.0
        counted = None if table is None else _counted(guard, rows, table)
        for arm in arms:
            yield _reading(guard, arm, limit, level, counted)


def _reading(guard: Guard, arm: str, limit: float, level: float, table: ArmTable | None) -> GuardReading:
    nothing = GuardReading(guard, arm, limit, "inconclusive", None, None, None, None, None, (0, 0), "")
    if table is None:
        return replace(nothing, text=f"{guard} of {arm}: no request yet.")
    metric = _metric(guard)
    found = compare(table, metric, "anytime", arm=arm, level=level, margin=limit)
    if found.difference is None or found.low is None or found.high is None:
        return replace(nothing, text=f"{guard} of {arm}: {found.reason}.")
    sign = -1.0 if metric.higher_is_better else 1.0
    harm = sign * found.difference
    low, high = sorted((sign * found.low, sign * found.high))
    state: State = "inconclusive"
    if found.conclusion == "worse" and low > limit:
        state = "beyond"
    elif high <= limit and found.conclusion != "inconclusive":
        state = "within"
    known = replace(
        nothing, state=state, control=_share(guard, found.control), challenger=_share(guard, found.challenger)
    )
    known = replace(known, harm=harm, low=low, high=high, units=found.units)
    return replace(known, text=_sentence(known))


def _counted(guard: Guard, rows: UnitColumns, table: ArmTable) -> ArmTable:
    """The table whose answered requests are the good ones of a guardrail."""
    if guard in ("coverage", "risk"):
        return table

    def column(name: str) -> IntArray:
        return rows.column(name, len(table.arms), table.strata)

    if guard == "errors":
        return _of_good(table, table.requests + column("failed"), table.requests)
    return _of_good(table, column("timed"), column("timed") - column("slow"))


def _of_good(table: ArmTable, requests: IntArray, good: IntArray) -> ArmTable:
    none = np.zeros(len(table), dtype=np.int64)
    return replace(
        table,
        requests=requests,
        answered=good,
        confusion=np.zeros((len(table), 2, 2), dtype=np.int64),
        audits=none,
        audited=none.astype(np.float64),
        audited_wrong=none.astype(np.float64),
    )


def _good(table: ArmTable) -> Counts:
    requests, good = table.requests.astype(np.float64), table.answered.astype(np.float64)
    return np.stack([good, requests - good], axis=1), requests


_GOOD: Final[dict[Guard, Metric]] = {
    "errors": share("requests that do not fail", "requests", _good),
    "latency": share("requests in time", "requests", _good),
}


def _metric(guard: Guard) -> Metric:
    return _GOOD[guard] if guard in _GOOD else METRICS[guard]


def _share(guard: Guard, good: float | None) -> float | None:
    """The share that the guardrail speaks of: of the failed, where the good ones were counted."""
    return 1.0 - good if good is not None and guard in _GOOD else good


def _sentence(reading: GuardReading) -> str:
    better_high = reading.guard == "coverage"
    verdict = {"within": "within", "inconclusive": "undecided about", "beyond": "beyond"}[reading.state]
    shares = f"{_percent(reading.challenger)} {_WORDS[reading.guard]} against {_percent(reading.control)}"
    ends = (reading.high, reading.low) if better_high else (reading.low, reading.high)
    harms = (reading.harm, *ends, reading.limit)
    difference, low, high, limit = (_points(harm, better_high) for harm in harms)
    return (
        f"{reading.guard} of {reading.arm}: {shares} of the control, {difference} points ({low} to {high}; "
        f"{reading.units[1]} and {reading.units[0]} units), {verdict} the limit of {limit}."
    )


def _points(harm: float | None, better_high: bool) -> str:
    """A difference in points of percent, challenger minus control; `harm` is positive where it is worse."""
    # Adding 0 makes +0 of -0.
    return "none" if harm is None else f"{100.0 * (-harm if better_high else harm) + 0.0:+.2f}"


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100.0 * value:.2f} %"
