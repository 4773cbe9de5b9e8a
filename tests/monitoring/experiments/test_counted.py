"""Rows of several services: whatever the split of the events, the sums are those of one service."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from fakes.experiment_events import AT, CHALLENGER, definition, events
from hypothesis import given
from hypothesis import strategies as st

from calibration.experiments.arms import ArmTable
from monitoring.events import CONTROL, SHADOW_MARK, Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.experiments.arms import ArmSums
from monitoring.experiments.counted import CROSSED, Counted
from monitoring.experiments.unit_columns import UnitColumns
from monitoring.experiments.unit_rows import UnitRows

HELD = definition()


def counted(of: Sequence[Event]) -> Counted:
    sums = ArmSums("ramp", HELD.guardrails.slow)
    sums.know(HELD.names)
    sums.add(of)
    return Counted.of(sums)


def comparable(rows: UnitColumns) -> list[tuple[float, ...]]:
    columns = [rows.key, *rows.counts.values(), *rows.sums.values()]
    return sorted(zip(*(np.round(column, 9).tolist() for column in columns), strict=True))


def shadow(request: str, unit: str, answer: int | None) -> PredictionEvent:
    dealt = {"experiment": "ramp", "arm": CHALLENGER, "stratum": 0, "unit_id": unit}
    return PredictionEvent(f"{request}{SHADOW_MARK}x", "two:1", 1, answer, "A", 1.0, 0.9, AT, **dealt)


def requests(of: Sequence[Event]) -> set[str]:
    return {one.request_id for one in of if not isinstance(one, FeedbackEvent)}


@given(services=st.integers(1, 4), seed=st.integers(0, 5), by_unit=st.booleans())
def test_several_services_count_as_one(services: int, seed: int, by_unit: bool) -> None:
    """A request and its label are of one service; a unit may be of several."""
    every = list(events(40, seed=seed))
    draw = random.Random(seed)
    owner = {name: draw.randrange(services) for name in sorted(requests(every))}
    if by_unit:
        owner = {name: hash(name.partition("-")[0]) % services for name in owner}
    parts = [[one for one in every if owner[one.request_id] == number] for number in range(services)]
    whole = Counted.together([counted(one) for one in parts])
    assert comparable(whole.rows) == comparable(counted(every).rows)
    assert whole.services == services
    assert whole.faults[CROSSED] == 0


def test_a_unit_with_another_arm_elsewhere_is_counted_in_its_first_alone() -> None:
    def decided(name: str, arm: str, at: float) -> PredictionEvent:
        dealt = {"experiment": "ramp", "arm": arm, "stratum": 0, "unit_id": "u"}
        return PredictionEvent(name, "one:1", 1, 1, "A", 1.0, 0.9, at, **dealt)

    parts = [
        counted([decided("b", CHALLENGER, AT + 1), decided("c", CHALLENGER, AT + 2)]),
        counted([decided("a", CONTROL, AT)]),
    ]
    whole = Counted.together(parts)
    table = whole.table(HELD)
    assert isinstance(table, ArmTable)
    assert (table.arm.tolist(), table.requests.tolist()) == ([0], [1])
    assert whole.faults[CROSSED] == 2


def test_agreement_of_a_shadow_needs_no_label_and_joins_the_services() -> None:
    def control(name: str, unit: str, answer: int | None) -> PredictionEvent:
        dealt = {"experiment": "ramp", "arm": CONTROL, "stratum": 0, "unit_id": unit}
        return PredictionEvent(name, "one:1", 1, answer, "A", 1.0, 0.9, AT, **dealt)

    one = [control("a", "u", 1), shadow("a", "u", 1), control("b", "u", None), shadow("b", "u", None)]
    two = [control("c", "u", 1), shadow("c", "u", None), control("d", "v", 1), shadow("d", "v", 0)]
    again = [shadow("d", "v", 0)]
    whole = Counted.together([counted(one), counted([*two, *again])])
    found = whole.agreements(HELD)[CHALLENGER]
    assert (found.units, found.requests, found.share) == (2, 4, 0.5)
    assert (found.answered, found.control_answered) == (0.5, 0.75)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


def test_nothing_counted_is_no_table() -> None:
    empty = Counted.together([counted([]), counted([])])
    assert empty.table(HELD) is None
    assert empty.agreements(HELD) == {}


def test_a_name_that_is_no_text_of_unicode_is_a_unit_as_well() -> None:
    rows = UnitRows()
    assert [rows.row(unit, 0, 0, AT) for unit in ("\ud800", "\ud801", "\ud800")] == [0, 1, 0]


@pytest.mark.parametrize("fails", [True, False])
def test_a_unit_whose_requests_all_fail_has_a_row(fails: bool) -> None:
    dealt = {"experiment": "ramp", "arm": CONTROL, "stratum": 0, "unit_id": "u"}
    of = [FailureEvent("a", "one:1", "deadline-passed", AT, **dealt)] if fails else []
    assert len(Counted.together([counted(of), counted([])]).rows) == fails
