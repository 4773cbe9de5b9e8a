from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest
from fakes.simulated_fleet import (
    FLEET,
    PLAN,
    Bundles,
    ScriptedGates,
    SimulatedFleet,
    prepared_registry,
    quick_plan,
)

from bundle.registry.changes import with_challenger, with_lineup
from bundle.registry.errors import BundleNotFound, RegistryUnavailable
from bundle.registry.folder import FolderLocation
from bundle.registry.generation import Challenger, Change, Ref
from bundle.registry.registry import Registry
from deploy.errors import (
    AlreadyChampion,
    ChampionGone,
    FleetNotReady,
    LineupBusy,
    PromotionRefused,
    PromotionRunning,
)
from deploy.gates.outcome import GateResult
from deploy.promotion.events import Outcome
from deploy.promotion.promoter import Order, promote, rehearse
from deploy.promotion.scene import Scene

ORDER = Order("Ada", "a better one")
CHANGE = Change(1_800_000_000.0, "tests", "a test")


def change(fleet: SimulatedFleet, build: object) -> None:
    fleet.registry.fleet(FLEET).change(build)  # type: ignore[arg-type]


def refused(scene: Scene, newcomer: Ref, kind: type[PromotionRefused], **plan: object) -> str:
    """The message; nothing may be written."""
    before = list(scene.log.history())
    with pytest.raises(kind) as error:
        promote(scene, quick_plan(**plan), newcomer, ORDER)
    assert list(scene.log.history()) == before
    with pytest.raises(kind):
        rehearse(scene, quick_plan(**plan), newcomer)
    return str(error.value)


def test_the_champion_cannot_be_promoted_again(fleet: SimulatedFleet, bundles: Bundles) -> None:
    said = refused(fleet.scene(), bundles.champion, AlreadyChampion)
    assert f"{bundles.champion.label} ({bundles.champion.digest[:12]}) is the champion" in said


def test_a_bundle_that_the_registry_has_not_is_not_found(fleet: SimulatedFleet) -> None:
    with pytest.raises(BundleNotFound):
        promote(fleet.scene(), PLAN, Ref("ab" * 32, "none:0123456789abcdef"), ORDER)


def test_a_running_experiment_is_named_with_the_way_out(fleet: SimulatedFleet, bundles: Bundles) -> None:
    experiment = {"name": "ramp", "strata": []}
    change(fleet, lambda now: with_lineup(now, (), experiment, CHANGE))
    said = refused(fleet.scene(), bundles.newcomer, LineupBusy)
    assert "the experiment ramp runs in fleet tiny" in said
    assert "POST /experiments/ramp/stop" in said


def test_a_newcomer_that_is_a_challenger_of_an_experiment_is_refused(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    challenger = Challenger("nine", bundles.newcomer, 0.1)
    change(fleet, lambda now: with_lineup(now, (challenger,), {"name": "ramp", "strata": []}, CHANGE))
    assert "ramp" in refused(fleet.scene(), bundles.newcomer, LineupBusy)


@pytest.mark.parametrize("share", [None, 0.1])
def test_a_challenger_is_named_with_the_way_out(
    fleet: SimulatedFleet, bundles: Bundles, share: float | None
) -> None:
    change(fleet, lambda now: with_challenger(now, Challenger("nine", bundles.newcomer, share), CHANGE))
    said = refused(fleet.scene(), bundles.newcomer, LineupBusy)
    assert "the newcomer is a challenger" in said
    assert f"nine ({bundles.newcomer.label})" in said
    assert "another bundle is a challenger" in refused(fleet.scene(), bundles.other, LineupBusy)


def test_a_champion_that_was_deleted_is_named_with_the_way_out(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    fleet.registry.location.delete(f"bundles/{bundles.champion.digest}/record.json")
    said = refused(fleet.scene(), bundles.newcomer, ChampionGone)
    assert bundles.champion.digest in said
    assert "demur registry push" in said


def test_too_few_services_are_counted(fleet: SimulatedFleet, bundles: Bundles) -> None:
    said = refused(fleet.scene(), bundles.newcomer, FleetNotReady, services=4)
    assert "3 services of fleet tiny report, and the plan asks for services: 4" in said
    for service in fleet.services:
        service.silent = True
    assert "services: 0" in refused(fleet.scene(), bundles.newcomer, FleetNotReady)
    assert "0 services" in refused(fleet.scene(reports=None), bundles.newcomer, FleetNotReady)


def test_a_service_with_a_fault_is_named(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.services[2].fault = "cannot open x"
    said = refused(fleet.scene(), bundles.newcomer, FleetNotReady)
    assert "pod-2 of fleet tiny has a fault: cannot open x" in said


def test_a_fleet_that_reports_nothing_is_promoted_by_the_offline_gates_alone(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    plan = quick_plan(services=0, shadow=None, canary=[])
    outcome = promote(fleet.scene(reports=None, views=None), plan, bundles.newcomer, ORDER)
    assert outcome.phase == "promoted"
    assert {one["gate"] for one in outcome.results} == {"golden"}
    failing = ScriptedGates(results=(GateResult("golden", "failed", "3 differ"),))
    scene = fleet.scene(reports=None, views=None, gates=failing)
    assert promote(scene, plan, bundles.other, ORDER).phase == "rolled-back"
    assert fleet.records()[-1].champion == bundles.newcomer


def test_the_first_promotion_asks_the_offline_gates_alone(tmp_path: Path) -> None:
    bundles = prepared_registry(tmp_path, empty=True)
    fleet = SimulatedFleet(tmp_path / "registry")
    failing = ScriptedGates(results=(GateResult("golden", "failed", "3 differ"),))
    outcome = promote(fleet.scene(gates=failing), PLAN, bundles.champion, ORDER)
    assert outcome.phase == "rolled-back"
    assert fleet.records()[-1].champion is None
    assert promote(fleet.scene(), PLAN, bundles.champion, ORDER).phase == "promoted"
    newest = fleet.records()[-1]
    assert (newest.champion, newest.former) == (bundles.champion, ())


def test_a_rehearsal_asks_the_offline_gates_and_writes_nothing(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    before = fleet.records()
    results, fault = rehearse(fleet.scene(), PLAN, bundles.newcomer)
    assert (results, fault) == (ScriptedGates().results, None)
    assert fleet.records() == before
    assert [one.kind for one in fleet.events] == ["result"]


def test_a_registry_that_does_not_answer_begins_nothing(fleet: SimulatedFleet, bundles: Bundles) -> None:
    class Away(FolderLocation):
        def read(self, key: str, limit: int) -> bytes:
            raise RegistryUnavailable("it is away")

    fleet.registry = Registry(Away(fleet.folder))
    with pytest.raises(RegistryUnavailable, match="it is away"):
        promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)


def test_of_two_promotions_at_the_same_moment_one_is_told_two_hundred_times(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    plan = quick_plan(services=0, shadow=None, canary=[])
    failing = ScriptedGates(results=(GateResult("golden", "failed", "3 differ"),))
    for _ in range(200):
        ends = _both(fleet, plan, (bundles.newcomer, bundles.other), failing)
        lost = [one for one in ends if isinstance(one, PromotionRunning)]
        won = [one for one in ends if isinstance(one, Outcome)]
        assert (len(won), len(lost)) == (1, 1), ends
        assert "runs in fleet tiny" in str(lost[0])
    records = fleet.records()
    assert [one.number for one in records] == list(range(1, 402))
    begun = [one.promotion.id for one in records if one.promotion and one.promotion.phase == "gates"]
    assert len(set(begun)) == len(begun) == 200


def _both(
    fleet: SimulatedFleet, plan: object, newcomers: tuple[Ref, Ref], gates: ScriptedGates
) -> list[Outcome | Exception]:
    """How two promotions end that begin at the same moment; neither may end before both have begun."""
    ends: list[Outcome | Exception] = []
    begin, begun = Barrier(2), Barrier(2)

    class WaitingGates(ScriptedGates):
        def run(self, *given: object) -> tuple[GateResult, ...]:
            begun.wait(60.0)
            return gates.run(*given)  # type: ignore[arg-type]

    def run(newcomer: Ref) -> None:
        begin.wait(60.0)
        scene = replace(fleet.scene(reports=None, views=None), gates=WaitingGates(), on=lambda event: None)
        try:
            ends.append(promote(scene, plan, newcomer, ORDER))  # type: ignore[arg-type]
        except PromotionRefused as error:
            ends.append(error)
            begun.wait(60.0)

    threads = [Thread(target=run, args=(one,)) for one in newcomers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120.0)
    return ends
