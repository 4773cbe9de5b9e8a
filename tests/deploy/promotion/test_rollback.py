from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes.simulated_fleet import PLAN, Bundles, SimulatedFleet, quick_plan

from bundle.registry.changes import with_lineup
from bundle.registry.errors import NoSuchPromotion, NothingToRollBack
from bundle.registry.generation import Change
from deploy.promotion.decisions import abort, approve
from deploy.promotion.promoter import Order, promote
from deploy.promotion.rollback import roll_back
from deploy.promotion.status import status

ORDER = Order("Ada", "a better one")


def in_phase(fleet: SimulatedFleet, phase: str, act: Callable[[], object]) -> None:
    """Let `act` happen once, in the middle of this phase."""
    done: list[object] = []

    def call() -> None:
        state = fleet.records()[-1].promotion
        if state is not None and state.phase == phase and not done:
            done.append(act())

    fleet.at_tick.append(call)


def test_a_rollback_goes_back_to_the_champion_before(fleet: SimulatedFleet, bundles: Bundles) -> None:
    promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    called: list[None] = []
    back = roll_back(fleet.scene(wake=Wake(called)), "Mary", "too many complaints")
    assert (back.generation.champion, back.left, back.ended) == (bundles.champion, bundles.newcomer, None)
    assert (back.generation.change.by, back.generation.change.reason) == ("Mary", "too many complaints")
    assert called == [None]
    fleet.sleep(1.0)
    assert {one.champion for one in fleet.all()} == {bundles.champion.digest}
    with pytest.raises(NothingToRollBack, match="demur promote"):
        roll_back(fleet.scene(), "Mary", "again")


def test_without_a_former_champion_there_is_nothing_to_go_back_to(fleet: SimulatedFleet) -> None:
    before = fleet.records()
    with pytest.raises(NothingToRollBack):
        roll_back(fleet.scene(), "Mary", "again")
    assert fleet.records() == before


def test_a_former_champion_that_was_deleted_is_passed_over(fleet: SimulatedFleet, bundles: Bundles) -> None:
    promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    promote(fleet.scene(), PLAN, bundles.other, ORDER)
    fleet.registry.location.delete(f"bundles/{bundles.newcomer.digest}/record.json")
    back = roll_back(fleet.scene(), "Mary", "too many complaints")
    assert (back.generation.champion, back.passed_over) == (bundles.champion, (bundles.newcomer,))


def test_if_every_former_champion_was_deleted_the_way_out_is_named(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    fleet.registry.location.delete(f"bundles/{bundles.champion.digest}/record.json")
    with pytest.raises(NothingToRollBack, match=f"{bundles.champion.label}.*demur registry push"):
        roll_back(fleet.scene(), "Mary", "too many complaints")
    assert fleet.records()[-1].champion == bundles.newcomer


@pytest.mark.parametrize("phase", ["prepare", "shadow", "canary", "approval", "everything"])
@pytest.mark.parametrize("how", ["roll_back", "abort"])
def test_a_person_ends_a_promotion_in_any_phase_and_its_promoter_is_told(
    fleet: SimulatedFleet, bundles: Bundles, phase: str, how: str
) -> None:
    act = roll_back if how == "roll_back" else abort
    plan = quick_plan(approve="required") if phase == "approval" else PLAN
    in_phase(fleet, phase, lambda: act(fleet.scene(), "Mary", "too many complaints"))
    outcome = promote(fleet.scene(), plan, bundles.newcomer, ORDER)
    assert (outcome.phase, outcome.why) == ("rolled-back", "aborted by Mary: too many complaints")
    newest = fleet.records()[-1]
    assert newest.number == outcome.generation
    assert (newest.champion, newest.challengers, newest.experiment, newest.next) == (
        *(bundles.champion, ()),
        *(None, None),
    )
    assert fleet.events[-1].kind == "rolled-back"


def test_what_a_service_withdraws_at_the_moment_of_the_next_step_is_not_put_back(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    """Between the look of the promoter and its record."""
    scene = fleet.scene()
    withdrawn: list[object] = []
    log = fleet.registry.fleet(scene.fleet)

    def withdraw() -> None:
        newest = fleet.records()[-1]
        if newest.promotion and newest.promotion.phase == "canary" and newest.experiment and not withdrawn:
            note = {"at": 1.0, "by": "demur", "reason": "too many errors"}
            label = bundles.newcomer.label
            held = {"arm": label, "note": note, "cause": "guardrail errors"}
            experiment = {**newest.experiment, "withdrawals": [held]}
            change = Change(fleet.now, "demur", "guardrail errors")
            withdrawn.append(log.change(lambda now: with_lineup(now, (), experiment, change)))  # type: ignore[arg-type]

    class Views:
        """The last look before the step is passed is followed by a withdrawal."""

        def newest(self, name: str) -> object:
            view = fleet.newest(name)
            if (
                view is not None
                and view["stratum"] == 1
                and view["strata_units"][-1][bundles.newcomer.label] >= 30
            ):
                withdraw()
            return view

    outcome = promote(replace(scene, views=Views()), PLAN, bundles.newcomer, ORDER)  # type: ignore[arg-type]
    assert outcome.why == "canary 10 %: the newcomer was withdrawn: guardrail errors: too many errors"
    assert withdrawn
    phases = [one.promotion.phase for one in fleet.records() if one.promotion]
    assert phases.count("canary") == 2  # its beginning, and the withdrawal


def test_only_a_promotion_that_waits_can_be_approved(fleet: SimulatedFleet, bundles: Bundles) -> None:
    with pytest.raises(NoSuchPromotion):
        approve(fleet.scene(), "Mary", "fine")
    with pytest.raises(NoSuchPromotion):
        abort(fleet.scene(), "Mary", "no")
    refused: list[object] = []

    def too_early() -> None:
        with pytest.raises(NoSuchPromotion, match="phase is shadow"):
            approve(fleet.scene(), "Mary", "fine")
        refused.append(None)

    in_phase(fleet, "shadow", too_early)
    promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert refused


def test_the_status_says_what_a_step_waits_for_and_until_when(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    seen = []
    in_phase(fleet, "approval", lambda: seen.append(status(fleet.scene())))
    before = status(fleet.scene())
    assert before is not None
    assert (before.runs, before.promotion, before.waits_for) == (False, None, None)
    plan = quick_plan(approve="required", approval={"longest": "1h"})
    promote(fleet.scene(), plan, bundles.newcomer, ORDER)
    assert seen[0] is not None
    assert seen[0].runs
    assert seen[0].waits_for == "approval: nobody has approved it yet: `demur promotion approve`"
    assert seen[0].until == pytest.approx(seen[0].promotion.since + 3600.0)
    assert len(seen[0].reports) == 3
    after = status(fleet.scene())
    assert after is not None
    assert not after.runs
    assert after.promotion is not None
    assert after.promotion.phase == "rolled-back"


class Wake:
    def __init__(self, called: list[None]) -> None:
        self._called = called

    def publish(self) -> None:
        self._called.append(None)
