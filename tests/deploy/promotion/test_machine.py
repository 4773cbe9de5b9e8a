from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deploy.gates.outcome import GateResult
from deploy.promotion.machine import Advance, Finish, Observation, RollBack, Wait, next_step
from deploy.promotion.plan import CanaryStep, Plan
from deploy.promotion.steps import Step, steps_of

OFFLINE = ("signature", "golden")
PLAN = Plan(
    canary=(CanaryStep(share=0.1, units=5, longest="1m"), CanaryStep(share=0.5, units=5, longest="1m")),
    approve="required",
)
STEPS = steps_of(PLAN, OFFLINE, first=False)


def passed(step: Step) -> Observation:
    return Observation(tuple(GateResult(gate, "passed", "fine") for gate in step.gates), 0.0)


def test_the_steps_come_in_their_order() -> None:
    names = ["gates", "prepare", "shadow", "canary 10 %", "canary 50 %", "approval", "everything"]
    assert [one.name for one in STEPS] == names


def test_a_first_promotion_asks_the_offline_gates_alone() -> None:
    steps = steps_of(Plan(), OFFLINE, first=True)
    assert [one.phase for one in steps] == ["gates", "everything"]
    assert steps[0].gates == OFFLINE


def test_a_fleet_that_reports_nothing_has_no_live_step() -> None:
    plan = Plan(services=0, approve="required")
    assert [one.phase for one in steps_of(plan, OFFLINE, first=False)] == ["gates", "approval", "everything"]


def test_steps_that_all_pass_end_in_a_promotion() -> None:
    for position, step in enumerate(STEPS):
        action = next_step(STEPS, position, passed(step))
        assert action == (Finish() if step is STEPS[-1] else Advance(STEPS[position + 1]))


def test_a_failed_gate_rolls_back_at_once() -> None:
    results = (GateResult("canary units", "passed", "9"), GateResult("guardrail risk", "failed", "too many"))
    action = next_step(STEPS, 3, Observation(results, 0.0))
    assert action == RollBack("canary 10 %: guardrail risk has failed: too many")


def test_a_withdrawn_newcomer_rolls_back_even_if_everything_passes() -> None:
    action = next_step(STEPS, 3, replace(passed(STEPS[3]), withdrawn="guardrail errors"))
    assert action == RollBack("canary 10 %: the newcomer was withdrawn: guardrail errors")


def test_what_is_open_waits_until_the_time_is_over() -> None:
    open_one = GateResult("prepare", "inconclusive", "1 of 3 services have it")
    assert next_step(STEPS, 1, Observation((open_one,), 600.0)) == Wait("prepare: 1 of 3 services have it")
    over = next_step(STEPS, 1, Observation((open_one,), 600.1))
    assert isinstance(over, RollBack)
    assert "time of 10m is over" in over.why
    assert "1 of 3 services have it" in over.why


def test_what_passes_after_its_time_is_not_passed() -> None:
    for late in (600.1, math.inf, math.nan):
        assert isinstance(next_step(STEPS, 1, replace(passed(STEPS[1]), elapsed=late)), RollBack)


def test_an_open_offline_gate_does_not_wait() -> None:
    seen = Observation((GateResult("signature", "inconclusive", "no key"),), 0.0)
    assert isinstance(next_step(STEPS, 0, seen), RollBack)


def test_an_error_is_no_pass() -> None:
    assert next_step(STEPS, 1, replace(passed(STEPS[1]), fault="the store is away")) == Wait(
        "the store is away"
    )
    assert isinstance(next_step(STEPS, 0, replace(passed(STEPS[0]), fault="crash")), RollBack)


def test_a_gate_without_a_result_is_no_pass() -> None:
    for position, step in enumerate(STEPS):
        for left_out in range(len(step.gates)):
            seen = passed(step)
            seen = replace(seen, results=(*seen.results[:left_out], *seen.results[left_out + 1 :]))
            assert isinstance(next_step(STEPS, position, seen), Wait | RollBack)


@st.composite
def plans(draw: st.DrawFn) -> tuple[Step, ...]:
    shares = sorted(draw(st.sets(st.integers(1, 99), max_size=4)))
    services = draw(st.sampled_from([0, 1, 3]))
    plan = Plan(
        services=services,
        approve=draw(st.sampled_from(["none", "required"])),
        shadow=None if services == 0 or draw(st.booleans()) else PLAN.shadow,
        canary=tuple(
            CanaryStep(share=one / 100, units=1, longest="1m") for one in (shares if services else [])
        ),
    )
    return steps_of(plan, OFFLINE, first=draw(st.booleans()))


@st.composite
def looks(draw: st.DrawFn, step: Step) -> Observation:
    """Passed, failed, error, no data, timeout, in any mixture over the gates of a step."""
    kind = draw(st.sampled_from(["passed", "passed", "passed", "mixed", "error", "no data", "timeout"]))
    seen = passed(step)
    if kind == "mixed":
        outcomes = st.sampled_from(["passed", "failed", "inconclusive", None])
        drawn = [(gate, draw(outcomes)) for gate in (*step.gates, "another")]
        seen = replace(seen, results=tuple(GateResult(g, outcome, "x") for g, outcome in drawn if outcome))
    elif kind == "error":
        seen = replace(seen, fault="it broke")
    elif kind == "no data":
        seen = replace(seen, results=())
    elif kind == "timeout":
        seen = replace(seen, elapsed=draw(st.sampled_from([1e9, math.inf, math.nan])))
    if draw(st.integers(0, 9)) == 0:
        seen = replace(seen, withdrawn="a guardrail")
    return seen


@given(st.data())
def test_no_sequence_reaches_promoted_without_every_gate_passed(data: st.DataObject) -> None:
    steps = data.draw(plans())
    position, seen_passed, end = 0, set(), None
    for _ in range(40):
        step = steps[position]
        seen = data.draw(looks(step))
        action = next_step(steps, position, seen)
        clean = seen.fault is None and seen.withdrawn is None
        in_time = step.longest is None or seen.elapsed <= step.longest
        if clean and in_time and all(one.outcome == "passed" for one in seen.results):
            seen_passed |= {(step.name, one.gate) for one in seen.results}
        if isinstance(action, Advance):
            assert action.step == steps[position + 1]
            position += 1
        elif not isinstance(action, Wait):
            end = action
            break
    every = {(step.name, gate) for step in steps for gate in step.gates}
    assert isinstance(end, RollBack) or end is None or every <= seen_passed
