"""Guardrails that are read at every step: an arm at its limits stays, one far beyond them leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from fakes.experiment_events import Behaviour, definition, events
from scipy import stats

from monitoring.experiments.arms import ArmSums
from monitoring.experiments.definition import Guardrails
from monitoring.experiments.guardrails import guard_readings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

UNITS, LOOKS = 600, 12
EQUAL = Behaviour()
AT_THE_LIMITS = Behaviour(answers=0.8, wrong=0.1, fails=0.02, slow=0.12)
"""Each share is worse than the control's by the limit of its guardrail"""
BEYOND = Behaviour(answers=0.7, wrong=0.3, fails=0.1, slow=0.3)


def withdrawn(seed: int, challenger: Behaviour) -> set[str]:
    """The guardrails that were beyond their limits at some look of one experiment."""
    held = definition()
    sums = ArmSums("ramp", held.guardrails.slow)
    sums.know(held.names)
    every = list(events(UNITS, challenger=challenger, seed=seed))
    step, found = len(every) // LOOKS, set()
    for start in range(0, len(every), step):
        sums.add(every[start : start + step])
        readings = guard_readings(held, sums.rows.columns(), sums.table(held))
        found |= {one.guard for one in readings if one.state == "beyond"}
    return found


def test_false_withdrawals_and_power(
    draws: Callable[[int, int], int], print_table: Callable[..., str]
) -> None:
    runs = draws(15, 1_000)
    rows = []
    for name, challenger in (("equal", EQUAL), ("at the limits", AT_THE_LIMITS), ("beyond", BEYOND)):
        found = [withdrawn(seed, challenger) for seed in range(runs)]
        by_guard = Counter(guard for one in found for guard in one)
        shares = [by_guard[guard] / runs for guard in ("coverage", "risk", "errors", "latency")]
        rows.append([name, runs, sum(map(bool, found)) / runs, *shares])
    header = ["challenger", "experiments", "left", "coverage", "risk", "errors", "latency"]
    print_table("Guardrails, read twelve times over 600 units", header, rows)
    # A share of at most LEVEL gives more than this once in a thousand times.
    most = float(stats.binom.ppf(0.999, runs, Guardrails().level)) / runs
    assert rows[0][2] <= most
    assert rows[1][2] <= most
    assert min(rows[2][3:]) >= 0.7
