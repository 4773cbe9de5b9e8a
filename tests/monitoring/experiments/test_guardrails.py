"""Guardrails: what is beyond a limit is found, equal arms stay, and without data nothing is concluded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.experiment_events import CHALLENGER, Behaviour, definition, events

from monitoring.events import Event
from monitoring.experiments.arms import ArmSums
from monitoring.experiments.definition import Guardrails
from monitoring.experiments.guardrails import GuardReading, guard_readings


def readings(*given: Event, guardrails: Guardrails | None = None) -> dict[str, GuardReading]:
    held = definition(guardrails=guardrails)
    sums = ArmSums("ramp", held.guardrails.slow)
    sums.know(held.names)
    sums.add(given)
    return {one.guard: one for one in guard_readings(held, sums.rows.columns(), sums.table(held))}


def test_no_data_is_inconclusive() -> None:
    found = readings()
    assert set(found) == {"coverage", "risk", "errors", "latency"}
    assert {one.state for one in found.values()} == {"inconclusive"}
    assert {one.harm for one in found.values()} == {None}
    # The control alone says nothing either.
    alone = readings(*events(200, share=0.0))
    assert {one.state for one in alone.values()} == {"inconclusive"}


@pytest.mark.parametrize(
    ("guard", "bad", "low"),
    [
        ("coverage", Behaviour(answers=0.5), 0.3),
        ("risk", Behaviour(wrong=0.3), 0.15),
        ("errors", Behaviour(fails=0.2), 0.1),
        ("latency", Behaviour(slow=0.5), 0.35),
    ],
)
def test_a_bad_arm_is_beyond_its_own_limit_alone(guard: str, bad: Behaviour, low: float) -> None:
    found = readings(*events(600, challenger=bad))
    assert {name for name, one in found.items() if one.state == "beyond"} == {guard}
    one = found[guard]
    assert one.arm == CHALLENGER
    assert one.harm is not None
    assert one.low is not None
    assert one.harm > low
    assert one.limit < one.low < one.harm
    assert "beyond the limit" in one.text
    # A limit that is wide enough holds.
    wide = replace(Guardrails(), **{guard: 0.95})
    assert readings(*events(600, challenger=bad), guardrails=wide)[guard].state == "within"


@pytest.mark.parametrize("seed", range(5))
def test_equal_arms_are_within_and_never_beyond_on_the_way(seed: int) -> None:
    every = list(events(1500, seed=seed))
    held = definition()
    sums = ArmSums("ramp", held.guardrails.slow)
    sums.know(held.names)
    for start in range(0, len(every), 400):
        sums.add(every[start : start + 400])
        states = {one.guard: one.state for one in guard_readings(held, sums.rows.columns(), sums.table(held))}
        assert "beyond" not in states.values()
    assert states["coverage"] == "within"


def test_a_guardrail_that_is_off_and_an_arm_that_has_left_have_no_reading() -> None:
    found = readings(*events(50), guardrails=Guardrails(risk=None, errors=None))
    assert set(found) == {"coverage", "latency"}
    held = definition()
    gone = replace(held, strata=(*held.strata, replace(held.strata[0], shares={}, segments=())))
    sums = ArmSums("ramp", 0.5)
    sums.know(gone.names)
    sums.add(events(50))
    assert list(guard_readings(gone, sums.rows.columns(), sums.table(gone))) == []


def test_units_that_only_fail_count_for_the_errors() -> None:
    found = readings(*events(300, challenger=Behaviour(fails=1.0)))
    assert found["errors"].state == "beyond"
    assert found["coverage"].state == "inconclusive"
