"""Collection of bundles: what anything holds stays, and of the rest each file goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from fakes.generations import change, promotion

from bundle.registry import changes, keys
from bundle.registry.collect import Collection, Sparing
from bundle.registry.errors import BundleNotFound, RegistryDamaged
from bundle.registry.fleet_log import FleetLog
from bundle.registry.generation import Challenger, Generation, Ref
from bundle.registry.registry import Registry

DAY = 86_400.0
NOW = 1000 * DAY


@pytest.fixture
def bundles(
    make_tiny_bundle: Callable[..., Path], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> list[Ref]:
    """Bundles that were pushed a hundred days ago."""
    monkeypatch.setattr("time.time", lambda: NOW - 100 * DAY)
    pushed = [registry.push(make_tiny_bundle(stages=1, name=f"b{number}"), "tests") for number in range(5)]
    monkeypatch.undo()
    return pushed


def planned(
    registry: Registry, services: Mapping[str, Iterable[str]] | None = None, history: float = 30 * DAY
) -> Collection:
    return registry.collection(Sparing(history, DAY, services or {}), NOW)


def why(plan: Collection, ref: Ref) -> str:
    """Why a bundle stays; empty: it goes."""
    found = {one.digest: "; ".join(one.why) for one in plan.stays}
    assert (ref.digest in found) != (ref.digest in {one.digest for one in plan.goes})
    return found.get(ref.digest, "")


def at(days: float) -> float:
    """So many days before now."""
    return NOW - days * DAY


def some(generation: Generation | None) -> Generation:
    assert generation is not None
    return generation


def promote(fleet: FleetLog, ref: Ref, days: float) -> None:
    fleet.change(lambda now: changes.promoted(now, ref, change(at=at(days))))


def test_what_nothing_holds_goes_and_its_files_with_it(registry: Registry, bundles: list[Ref]) -> None:
    plan = planned(registry)
    assert {one.digest for one in plan.goes} == {ref.digest for ref in bundles}
    assert registry.has(bundles[0].digest)
    done = registry.collect(plan)
    assert done.goes == plan.goes
    assert registry.bundles() == []
    assert not (Path(registry.address) / "bundles").exists()
    assert registry.collect(planned(registry)).goes == ()


def test_everything_that_the_newest_record_names_stays(registry: Registry, bundles: list[Ref]) -> None:
    fleet = registry.fleet("scenes")
    promote(fleet, bundles[0], 90)
    promote(fleet, bundles[1], 80)
    shadow = Challenger("new", bundles[2], None)

    fleet.change(lambda now: changes.with_challenger(some(now), shadow, change(at=at(70))))
    state = promotion(bundles[3], id="p7")
    fleet.change(lambda now: changes.with_next(some(now), bundles[3], change(at=at(70)), promotion=state))
    plan = planned(registry)
    assert "scenes/previous" in why(plan, bundles[0])
    assert "scenes/champion" in why(plan, bundles[1])
    assert "scenes/challenger-new" in why(plan, bundles[2])
    assert "the services of scenes prepare it; promotion p7 of scenes" in why(plan, bundles[3])
    assert why(plan, bundles[4]) == ""


def test_what_served_within_the_history_to_be_kept_stays(registry: Registry, bundles: list[Ref]) -> None:
    fleet = registry.fleet("scenes")
    promote(fleet, bundles[0], 90)
    promote(fleet, bundles[1], 60)
    promote(fleet, bundles[2], 20)
    for _ in range(2):
        fleet.change(lambda now: changes.rolled_back(now, change(at=at(10))))
    # Now bundle 0 serves again; 1 was in force 30 days ago, 2 came later.
    plan = planned(registry)
    assert "scenes/champion" in why(plan, bundles[0])
    assert "generation 2 of scenes is part of the history" in why(plan, bundles[1])
    assert "generation 3 of scenes is part of the history" in why(plan, bundles[2])
    later = planned(registry, history=5 * DAY)
    assert (why(later, bundles[1]), why(later, bundles[2])) == ("", "")


def test_what_a_rollback_may_go_back_to_stays(registry: Registry, bundles: list[Ref]) -> None:
    fleet = registry.fleet("scenes")
    for ref, days in zip(bundles[:3], (90, 80, 70), strict=True):
        promote(fleet, ref, days)
    assert "a rollback of scenes may go back to it" in why(planned(registry), bundles[0])


def test_what_a_running_service_has_open_stays(registry: Registry, bundles: list[Ref]) -> None:
    plan = planned(registry, {"host-1": [bundles[2].digest]})
    assert why(plan, bundles[2]) == "service host-1 has it open"


def test_what_was_pushed_just_now_stays(registry: Registry, bundles: list[Ref], tiny_bundle: Path) -> None:
    ref = registry.push(tiny_bundle, "tests")
    plan = registry.collection(Sparing(0.0, DAY, {}), registry.bundle(ref.digest).at + 3600)
    assert why(plan, ref) == "pushed 1 h ago, and what is younger than 24 h stays"


def test_a_push_that_was_broken_off_goes_when_it_is_old(registry: Registry, bundles: list[Ref]) -> None:
    (Path(registry.address) / keys.bundle_record(bundles[0].digest)).unlink()
    written = (Path(registry.address) / keys.bundle_file(bundles[0].digest, "bundle.json")).stat().st_mtime
    young = registry.collection(Sparing(0.0, DAY, {}), written + 3600)
    assert why(young, bundles[0]).startswith("written 1 h ago")
    old = registry.collection(Sparing(0.0, DAY, {}), written + 2 * DAY)
    assert why(old, bundles[0]) == ""
    registry.collect(old)
    assert not (Path(registry.address) / keys.bundle_prefix(bundles[0].digest)).exists()


def test_a_bundle_of_a_later_version_stays(registry: Registry, bundles: list[Ref]) -> None:
    record = Path(registry.address) / keys.bundle_record(bundles[0].digest)
    record.write_text(record.read_text().replace('"format": 1', '"format": 2'))
    assert "has format 2" in why(planned(registry), bundles[0])


def test_a_record_of_a_fleet_that_cannot_be_read_keeps_everything(
    registry: Registry, bundles: list[Ref]
) -> None:
    promote(registry.fleet("scenes"), bundles[0], 90)
    promote(registry.fleet("scenes"), bundles[1], 80)
    (Path(registry.address) / keys.generation("scenes", 1)).write_text("{")
    with pytest.raises(RegistryDamaged):
        planned(registry)


def test_what_is_promoted_between_plan_and_deletion_stays(registry: Registry, bundles: list[Ref]) -> None:
    plan = planned(registry)
    promote(registry.fleet("scenes"), bundles[0], 0)
    done = registry.collect(plan)
    assert why(done, bundles[0]) == "scenes/champion"
    assert registry.resolve("champion") == bundles[0]
    assert [one.ref for one in registry.bundles()] == [bundles[0]]


def test_a_collected_bundle_cannot_be_resolved_and_can_be_pushed_again(
    registry: Registry, make_tiny_bundle: Callable[..., Path]
) -> None:
    bundle = make_tiny_bundle(stages=1)
    ref = registry.push(bundle, "tests")
    registry.collect(registry.collection(Sparing(0.0, 0.0, {}), registry.bundle(ref.digest).at))
    with pytest.raises(BundleNotFound):
        registry.resolve(ref.digest)
    assert registry.push(bundle, "tests") == ref
    assert registry.has(ref.digest)
