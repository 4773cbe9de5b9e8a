"""A promoter that is killed between any two operations: whoever comes next goes on, or rolls back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.killed_location import Killed, KilledLocation
from fakes.simulated_fleet import PLAN, Bundles, SimulatedFleet, quick_plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle.registry.folder import FolderLocation
from bundle.registry.promotions import running
from bundle.registry.registry import Registry
from deploy.errors import NoPromotion
from deploy.promotion.decisions import approve
from deploy.promotion.events import Outcome
from deploy.promotion.promoter import Order, promote, resume
from deploy.promotion.rollback import roll_back

ORDER = Order("Ada", "a better one")
NEXT = Order("Grace", "the promoter has died")
PREPARED = tuple[Path, Bundles]


class Killing:
    """A fleet whose promoters are killed, and what must hold at every moment."""

    def __init__(self, folder: Path, prepared: PREPARED) -> None:
        shutil.copytree(prepared[0], folder)
        self.bundles = prepared[1]
        self.location = KilledLocation(FolderLocation(folder))
        self.fleet = SimulatedFleet(folder)
        self.fleet.sleep(1.0)
        self.fleet.registry = Registry(self.location)
        self.fleet.at_tick.append(self.check)
        self.location.on = self.check
        self.outcome: Outcome | None = None

    def check(self) -> None:
        """Records without a gap, of which each service follows one; one champion for each."""
        records = self.fleet.records()
        assert [one.number for one in records] == list(range(1, len(records) + 1))
        champions = {one.number: one.champion for one in records}
        for service in self.fleet.services:
            assert champions[service.number] == service.champion
        shares = [one.share or 0.0 for one in records[-1].challengers]
        assert len(shares) <= 1
        state = records[-1].promotion
        if state is not None and state.phase in ("promoted", "rolled-back"):
            assert (records[-1].challengers, records[-1].experiment, records[-1].next) == ((), None, None)

    def run(self, act: Callable[[], Outcome], kill_at: int | None, *, after: bool = False) -> bool:
        """Whether the promoter came to its end; otherwise it was killed."""
        self.location.operations, self.location.kill_at, self.location.after = 0, kill_at, after
        try:
            self.outcome = act()
        except Killed:
            return False
        finally:
            self.location.kill_at = None
        return True

    def promote(self) -> Outcome:
        return promote(self.fleet.scene(), PLAN, self.bundles.newcomer, ORDER)

    def resume(self) -> Outcome:
        return resume(self.fleet.scene(), NEXT)

    def end(self) -> None:
        """Whoever comes next ends it; then every service serves what the last record says."""
        if running(self.fleet.records()[-1]) is not None:
            assert self.run(self.resume, None)
        for service in self.fleet.services:
            service.silent, service.cannot_open = False, set()
        self.fleet.sleep(1.0)
        self.check()
        newest = self.fleet.records()[-1]
        assert running(newest) is None
        assert {one.champion for one in self.fleet.services} == {newest.champion}


def operations(folder: Path, prepared: PREPARED) -> int:
    """Number of writes of an undisturbed promotion."""
    killing = Killing(folder, prepared)
    assert killing.run(killing.promote, None)
    return killing.location.operations


def test_a_promoter_killed_at_any_write_is_followed_by_one_that_ends_it(
    prepared: PREPARED, tmp_path: Path
) -> None:
    count = operations(tmp_path / "undisturbed", prepared)
    assert count >= 14
    for kill_at in range(count):
        for after in (False, True):
            killing = Killing(tmp_path / f"{kill_at}-{after}", prepared)
            assert not killing.run(killing.promote, kill_at, after=after)
            began = running(killing.fleet.records()[-1]) is not None
            killing.end()
            champion = killing.fleet.records()[-1].champion
            ended = any(
                one.promotion and one.promotion.phase == "promoted" for one in killing.fleet.records()
            )
            assert ended or not began, "a promotion that passes everything goes on to its end"
            assert champion == (killing.bundles.newcomer if ended else killing.bundles.champion)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_happens_the_fleet_is_as_some_record_says(
    data: st.DataObject, prepared: PREPARED, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Kills at any operation, services that come and go, guardrails, people; in any order."""
    killing = Killing(tmp_path_factory.mktemp("any") / "registry", prepared)
    fleet = killing.fleet
    killing.location.only = data.draw(st.sampled_from([("create", "put"), ("read", "create", "put")]))
    act = killing.promote
    for _ in range(data.draw(st.integers(1, 6))):
        fleet.guard_states = {
            "errors": data.draw(st.sampled_from(["within", "within", "beyond", "inconclusive"]))
        }
        fleet.services[0].silent = data.draw(st.booleans())
        fleet.services[1].cannot_open = data.draw(st.sampled_from([set(), {killing.bundles.newcomer.digest}]))
        fleet.units_per_second = data.draw(st.sampled_from([20.0, 20.0, 0.0]))
        fleet.now += data.draw(st.sampled_from([0.0, 0.0, 3600.0, -3600.0, 1e6, -1e6]))
        killing.run(act, data.draw(st.integers(0, 60)), after=data.draw(st.booleans()))
        fleet.sleep(1.0)
        if running(fleet.records()[-1]) is None:
            break
        if data.draw(st.integers(0, 5)) == 0:
            roll_back(fleet.scene(), "Mary", "too many complaints")
            break
        act = killing.resume
    killing.end()
    newest = fleet.records()[-1]
    promoted = [one for one in fleet.records() if one.promotion and one.promotion.phase == "promoted"]
    assert (newest.champion == killing.bundles.newcomer) == bool(promoted)
    for one in promoted:
        assert one.promotion is not None
        passed = {
            (r["phase"], r["step"], r["gate"]) for r in one.promotion.results if r["outcome"] == "passed"
        }
        every = {("gates", 0, "golden"), ("prepare", 0, "prepare"), ("shadow", 0, "shadow units")}
        every |= {("canary", 1, f"guardrail {guard}") for guard in PLAN.guardrails.watched}
        assert every <= passed


@pytest.mark.parametrize("phase", ["gates", "prepare", "shadow", "canary", "approval"])
def test_a_step_whose_time_is_over_when_the_next_promoter_comes_is_rolled_back(
    prepared: PREPARED, tmp_path: Path, phase: str
) -> None:
    killing = Killing(tmp_path / "registry", prepared)
    plan = quick_plan(approve="required", approval={"longest": "1h"})

    def die() -> None:
        state = killing.fleet.records()[-1].promotion
        if state is not None and state.phase == phase and state.term == 1:
            raise Killed

    killing.location.on = die
    assert not killing.run(
        lambda: promote(killing.fleet.scene(), plan, killing.bundles.newcomer, ORDER), None
    )
    killing.location.on = killing.check
    killing.fleet.sleep(86_400.0)
    if phase == "gates":
        # It begins this step again, since nothing outside of the promoter knows of it.
        killing.fleet.at_tick.append(lambda: _say_yes(killing))
        killing.end()
        assert killing.fleet.records()[-1].champion == killing.bundles.newcomer
        return
    killing.end()
    newest = killing.fleet.records()[-1]
    assert newest.champion == killing.bundles.champion
    assert newest.promotion is not None
    assert newest.promotion.why is not None
    assert newest.promotion.why.startswith(phase)
    assert "is over" in newest.promotion.why


def _say_yes(killing: Killing) -> None:
    state = killing.fleet.records()[-1].promotion
    if state is not None and state.phase == "approval" and state.approval is None:
        approve(killing.fleet.scene(), "Mary", "yes")


def test_after_the_switch_only_the_end_is_written_however_late(prepared: PREPARED, tmp_path: Path) -> None:
    killing = Killing(tmp_path / "registry", prepared)

    def die() -> None:
        if killing.fleet.records()[-1].champion == killing.bundles.newcomer:
            raise Killed

    killing.location.on = die
    assert not killing.run(killing.promote, None)
    killing.location.on = killing.check
    killing.fleet.sleep(86_400.0)
    before = len(killing.fleet.records())
    killing.end()
    assert len(killing.fleet.records()) == before + 2  # the takeover, and the end
    assert killing.fleet.records()[-1].champion == killing.bundles.newcomer


def test_without_a_promotion_there_is_nothing_to_go_on_with(fleet: SimulatedFleet) -> None:
    with pytest.raises(NoPromotion, match="demur promote BUNDLE"):
        resume(fleet.scene(), NEXT)
