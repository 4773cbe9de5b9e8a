from __future__ import annotations

import pytest
from fakes.simulated_fleet import PLAN, Bundles, ScriptedGates, SimulatedFleet, quick_plan

from deploy.gates.outcome import GateResult
from deploy.promotion.decisions import approve
from deploy.promotion.promoter import Order, promote

ORDER = Order("Ada", "a better one")


def phases(fleet: SimulatedFleet) -> list[str]:
    states = [one.promotion for one in fleet.records()]
    return [f"{one.phase} {one.step}" for one in states if one is not None]


def assert_undone(fleet: SimulatedFleet, bundles: Bundles) -> None:
    """The fleet is as before, in the registry and in each service."""
    newest = fleet.records()[-1]
    assert (newest.champion, newest.challengers, newest.experiment, newest.next) == (
        *(bundles.champion, ()),
        *(None, None),
    )
    fleet.sleep(1.0)
    assert {one.champion for one in fleet.all()} == {bundles.champion.digest}


def test_a_newcomer_that_passes_everything_is_promoted(fleet: SimulatedFleet, bundles: Bundles) -> None:
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert (outcome.phase, outcome.why) == ("promoted", None)
    steps = ["gates 0", "prepare 0", "shadow 0", "canary 0", "canary 1", "everything 0", "promoted 0"]
    assert phases(fleet) == steps
    newest = fleet.records()[-1]
    assert (newest.champion, newest.former) == (bundles.newcomer, (bundles.champion,))
    assert (newest.challengers, newest.experiment, newest.next) == ((), None, None)
    assert {one.champion for one in fleet.all()} == {bundles.newcomer.digest}


def test_the_record_says_who_when_what_and_the_figures(fleet: SimulatedFleet, bundles: Bundles) -> None:
    promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    newest = fleet.records()[-1]
    state = newest.promotion
    assert state is not None
    assert (newest.change.by, newest.change.promotion, state.started.reason) == (
        "Ada",
        state.id,
        "a better one",
    )
    assert all(one["outcome"] == "passed" for one in state.results)
    told = {(one["phase"], one["gate"]): one for one in state.results}
    assert told["canary", "canary units"]["figure"] >= 100
    assert told["canary", "guardrail risk"]["limit"] == 0.01
    assert told["shadow", "shadow agreement"]["figure"] == 0.99
    times = [one["at"] for one in state.results]
    assert times == sorted(times)


def test_each_record_changes_one_thing(fleet: SimulatedFleet, bundles: Bundles) -> None:
    promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    shares = [[one.share for one in record.challengers] for record in fleet.records()[1:]]
    assert shares == [[], [], [None], [0.1], [0.5], [], []]
    assert [record.next is not None for record in fleet.records()[1:]] == [False, *[True] * 4, False, False]
    assert [record.number for record in fleet.records()] == list(range(1, 9))


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ((GateResult("golden", "failed", "3 of 12 differ"),), "golden has failed: 3 of 12 differ"),
        ((GateResult("golden", "inconclusive", "no engine"),), "golden: no engine"),
        ((), "no result of golden"),
        ((GateResult("other", "passed", "fine"),), "no result of golden"),
        ((RuntimeError("a bug"),), "RuntimeError: a bug"),
        ((OSError("disk full"),), "disk full"),
        ((GateResult("golden", "passed", "fine"), MemoryError("x")), "MemoryError"),
    ],
)
def test_an_offline_gate_that_does_not_pass_ends_it_at_once(
    fleet: SimulatedFleet, bundles: Bundles, results: tuple[GateResult | Exception, ...], said: str
) -> None:
    outcome = promote(fleet.scene(gates=ScriptedGates(results=results)), PLAN, bundles.newcomer, ORDER)
    assert outcome.phase == "rolled-back"
    assert outcome.why is not None
    assert said in outcome.why
    assert phases(fleet) == ["gates 0", "rolled-back 0"]
    assert_undone(fleet, bundles)


def test_a_service_that_cannot_open_the_newcomer_ends_it_with_its_reason(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    fleet.services[1].cannot_open = {bundles.newcomer.digest}
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "pod-1: cannot open two:" in outcome.why
    assert phases(fleet)[-2:] == ["prepare 0", "rolled-back 0"]
    assert_undone(fleet, bundles)


@pytest.mark.parametrize("guard", ["coverage", "risk", "errors", "latency"])
def test_a_guardrail_that_is_passed_ends_it(fleet: SimulatedFleet, bundles: Bundles, guard: str) -> None:
    fleet.guard_states = {guard: "beyond"}
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why == f"canary 10 %: guardrail {guard} has failed: {guard} is beyond"
    assert_undone(fleet, bundles)


def test_a_guardrail_that_stays_open_is_no_pass(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.guard_states = {"risk": "inconclusive"}
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "canary 50 %: its time of 10m is over" in outcome.why
    assert "risk is inconclusive" in outcome.why
    assert_undone(fleet, bundles)


def test_a_plan_may_want_a_guardrail_decided_in_an_early_step(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    fleet.guard_states = {"risk": "inconclusive"}
    steps = [one.model_dump(mode="json") for one in PLAN.canary]
    plan = quick_plan(canary=[{**steps[0], "within": ["risk"]}, steps[1]])
    outcome = promote(fleet.scene(), plan, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "canary 10 %: its time of 10m is over" in outcome.why


def test_a_view_that_is_old_is_no_pass(fleet: SimulatedFleet, bundles: Bundles) -> None:
    class OldViews:
        def newest(self, name: str) -> object:
            view = fleet.newest(name)
            return None if view is None else {**view, "age": 61.0}

    outcome = promote(fleet.scene(views=OldViews()), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "shadow: its time of 5m is over" in outcome.why


@pytest.mark.parametrize("view", [{"shadows": 5}, {"shadows": {"x": None}}, {"stratum": "x"}, {}])
def test_a_view_that_cannot_be_read_is_no_pass(
    fleet: SimulatedFleet, bundles: Bundles, view: dict[str, object]
) -> None:
    class BadViews:
        def newest(self, name: str) -> object:
            return {"age": 1.0, **view}

    outcome = promote(fleet.scene(views=BadViews()), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "shadow: its time of 5m is over" in outcome.why


def test_units_that_do_not_come_are_no_pass(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.units_per_second = 0.0
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "shadow: its time of 5m is over" in outcome.why
    assert "0 of at least 50 units" in outcome.why
    assert_undone(fleet, bundles)


def test_a_shadow_that_decides_otherwise_ends_it(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.agreement = 0.85
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why == ("shadow: shadow agreement has failed: 85.00%; at least 90.00% is needed")
    assert_undone(fleet, bundles)


def test_a_shadow_that_answers_less_ends_it(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.answered = 0.6
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "shadow coverage has failed: 20.00%" in outcome.why


def test_arms_without_their_shares_end_it(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.blocked = True
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "canary shares has failed" in outcome.why


def test_services_that_stop_reporting_in_the_middle_are_no_pass(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    def two_die() -> None:
        if phases(fleet)[-1] == "canary 0":
            fleet.services[0].silent = fleet.services[1].silent = True

    fleet.at_tick.append(two_die)
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "1 of 1 services follow generation 5; at least 2 must" in outcome.why
    assert_undone(fleet, bundles)


def test_a_service_that_lags_is_no_pass(fleet: SimulatedFleet, bundles: Bundles) -> None:
    """It reports and counts, but does not follow."""
    fleet.services[2].stuck = True
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "pod-2 not yet" in outcome.why
    assert_undone(fleet, bundles)


def test_a_person_says_yes(fleet: SimulatedFleet, bundles: Bundles) -> None:
    def say_yes() -> None:
        state = fleet.records()[-1].promotion
        if state is not None and state.phase == "approval" and state.approval is None:
            approve(fleet.scene(), "Grace", "seen\nand good")

    fleet.at_tick.append(say_yes)
    outcome = promote(fleet.scene(), quick_plan(approve="required"), bundles.newcomer, ORDER)
    assert outcome.phase == "promoted"
    state = fleet.records()[-1].promotion
    assert state is not None
    assert state.approval is not None
    assert (state.approval.by, state.approval.comment) == ("Grace", "seen and good")
    assert any(one["gate"] == "approval" and one["figure"] == "Grace" for one in state.results)


def test_a_person_who_says_nothing_is_no_pass(fleet: SimulatedFleet, bundles: Bundles) -> None:
    plan = quick_plan(approve="required", approval={"longest": "1h"})
    outcome = promote(fleet.scene(), plan, bundles.newcomer, ORDER)
    assert outcome.why is not None
    assert "approval: its time of 1h is over" in outcome.why
    assert_undone(fleet, bundles)


def test_a_newcomer_that_gets_worse_while_a_person_thinks_is_withdrawn(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    def turn_bad() -> None:
        if phases(fleet)[-1] == "approval 0":
            fleet.guard_states = {"errors": "beyond"}

    fleet.at_tick.append(turn_bad)
    outcome = promote(fleet.scene(), quick_plan(approve="required"), bundles.newcomer, ORDER)
    assert outcome.why == "approval: guardrail errors has failed: errors is beyond"
    assert_undone(fleet, bundles)


def test_each_step_is_told_with_what_it_waits_for(fleet: SimulatedFleet, bundles: Bundles) -> None:
    promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    began = [one.phase for one in fleet.events if one.kind == "began"]
    assert began == ["gates", "prepare", "shadow", "canary", "canary", "everything"]
    waits = [one for one in fleet.events if one.kind == "waits" and one.phase == "shadow"]
    assert waits
    assert (
        waits[0].waits_for
        == "services: 0 of 3 services follow generation 4; at least 2 must; pod-0, pod-1, pod-2 not yet"
    )
    assert waits[0].until is not None
    assert waits[0].until == pytest.approx(waits[0].at + 300.0, abs=2.0)
    assert fleet.events[-1].kind == "promoted"
    results = [one.result for one in fleet.events if one.kind == "result"]
    assert all(one is not None for one in results)
