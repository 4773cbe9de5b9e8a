"""What a service ends up serving after any sequence of records, and what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fakes.following_service import FollowingService, Shelf, now_by_tests
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.registry import changes
from bundle.registry.errors import NothingToRollBack
from bundle.registry.generation import Challenger, Generation, Ref
from bundle.system.memory import Memory
from service.following.followed_file import read_followed
from service.following.lineups import plan_of, serving_refs


def promoted(ref: Ref) -> Callable[[Generation | None], Generation]:
    return lambda now: changes.promoted(now, ref, now_by_tests("promoted"))


def prepared(ref: Ref | None) -> Callable[[Generation | None], Generation]:
    def build(now: Generation | None) -> Generation:
        assert now is not None
        return changes.with_next(now, ref, now_by_tests("prepared"))

    return build


def challenged(ref: Ref, share: float | None = 0.1) -> Callable[[Generation | None], Generation]:
    def build(now: Generation | None) -> Generation:
        assert now is not None
        name = ref.label.partition(":")[0]
        return changes.with_challenger(now, Challenger(name, ref, share), now_by_tests("challenged"))

    return build


def back(now: Generation | None) -> Generation:
    return changes.rolled_back(now, now_by_tests("back"))


@contextmanager
def registry_away(shelf: Shelf) -> Iterator[None]:
    """The registry's folder is gone meanwhile."""
    aside = shelf.folder.with_name("aside")
    shelf.folder.rename(aside)
    try:
        yield
    finally:
        if shelf.folder.exists():
            shutil.rmtree(shelf.folder)
        aside.rename(shelf.folder)


def test_what_is_prepared_becomes_champion_by_a_swap_and_goes_back_by_one(service: FollowingService) -> None:
    one, two = service.shelf.good[:2]
    service.change(prepared(two))
    service.settle()
    assert service.digest() == one.digest
    assert service.position.prepared == 2
    assert service.position.state().prepared == two.label
    opened = service.workers[0].opened
    assert opened == 1
    service.change(promoted(two))
    service.follower.look()  # The opener has no part in it.
    assert service.digest() == two.digest
    assert [one.bundle for one in service.position.state().kept] == [one.label]
    service.change(back)
    service.follower.look()
    assert service.digest() == one.digest
    assert service.workers[0].opened == opened
    assert service.fleet.previous is None
    found = read_followed(service.data_dir)
    assert found is not None
    assert found.generation.number == 4


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("damaged", "model.onnx"),
        ("refused", "never ends"),
        ("of_other_classes", "give it a fleet of its own"),
    ],
)
def test_a_newcomer_that_cannot_be_opened_is_a_fault_and_blocks_nothing(
    service: FollowingService, kind: str, reason: str
) -> None:
    one, two = service.shelf.good[:2]
    bad: Ref = getattr(service.shelf, kind)
    service.change(prepared(bad))
    service.settle()
    state = service.position.state()
    assert state.fault is not None
    assert state.fault.startswith(f"cannot open {bad.label} ({bad.digest[:8]}): ")
    assert reason in state.fault
    assert (service.digest(), service.position.prepared) == (one.digest, None)
    service.change(promoted(bad))
    service.settle()
    assert service.digest() == one.digest
    assert f"cannot serve generation 3: cannot open {bad.label}" in (service.position.state().fault or "")
    assert service.position.state().lagging
    service.change(promoted(two))
    service.settle()
    assert (service.digest(), service.position.state().fault) == (two.digest, None)


def test_going_back_does_not_wait_for_a_challenger_that_cannot_be_opened(service: FollowingService) -> None:
    one, two = service.shelf.good[:2]
    service.change(promoted(two))
    service.settle()
    service.change(challenged(service.shelf.damaged))
    service.change(back)
    service.follower.look()
    assert service.digest() == one.digest
    service.settle()
    assert "cannot open damaged" in (service.position.state().fault or "")
    assert service.fleet.plan.challengers == ()


def test_without_the_registry_it_serves_on_says_so_and_follows_again(service: FollowingService) -> None:
    one, two = service.shelf.good[:2]
    service.change(promoted(two))
    with registry_away(service.shelf):
        service.settle()
        state = service.position.state()
        assert (state.stale, state.lagging, state.fault) == (True, True, None)
        assert state.note is not None
        assert service.digest() == one.digest
    service.settle()
    assert (service.digest(), service.position.state().stale) == (two.digest, False)


def test_a_record_of_a_later_format_changes_nothing_and_is_said(service: FollowingService) -> None:
    path = service.shelf.folder / "fleets" / service.name / "generations" / f"{2:012}.json"
    path.write_text(json.dumps({"format": 99}))
    service.settle()
    state = service.position.state()
    assert service.digest() == service.shelf.good[0].digest
    assert (state.generation, state.newest, state.lagging) == (1, 2, True)
    assert "run the later version" in (state.fault or "")


def test_a_former_champion_is_closed_when_its_time_is_over_or_memory_is_short(
    shelf: Shelf, tmp_path: Path, service: FollowingService
) -> None:
    one, two = shelf.good[:2]
    service.change(promoted(two))
    service.settle()
    assert [folder.name for folder in service.fleet.plan.kept] == [one.digest]
    service.memory = Memory(2**30, 2**20)
    service.settle()
    assert service.fleet.plan.kept == ()
    assert "memory is short" in (service.position.state().note or "")
    other = FollowingService(shelf, tmp_path / "other", keep=0.0)
    other.change(promoted(two))
    other.settle()
    assert (other.digest(), other.fleet.plan.kept) == (two.digest, ())


def test_a_disk_that_takes_nothing_is_said_and_keeps_nothing_from_serving(service: FollowingService) -> None:
    _, two = service.shelf.good[:2]
    service.pulled.fetch(two)
    followed = service.data_dir / "registry" / "followed.json"
    followed.unlink(missing_ok=True)
    followed.mkdir()
    (followed / "x").touch()
    service.change(promoted(two))
    service.settle()
    assert service.digest() == two.digest
    assert "the data folder does not keep what is served" in (service.position.state().note or "")
    shutil.rmtree(followed)
    service.settle()
    assert service.position.state().note is None


def test_bundles_that_nothing_needs_are_removed_after_a_while(service: FollowingService) -> None:
    one, two, three = service.shelf.good
    now = [0.0]
    service.pulled._clock = lambda: now[0]
    for ref in (one, two, three):
        service.pulled.fetch(ref)
    service.pulled.sweep([one.digest])
    now[0] = 3000.0
    service.pulled.sweep([one.digest])
    assert service.pulled.holds(two)
    service.pulled.sweep([one.digest, two.digest])
    now[0] = 4000.0
    service.pulled.sweep([one.digest])
    assert [service.pulled.holds(ref) for ref in (one, two, three)] == [True, True, False]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["promote", "prepare", "challenge", "back", "withdraw", "look", "away"]),
        st.integers(0, 4),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(ACTIONS)
def test_after_any_sequence_the_newest_record_serves_or_its_fault_is_said(
    shelf: Shelf, actions: list[tuple[str, int]]
) -> None:
    with TemporaryDirectory() as folder:
        service = FollowingService(shelf, Path(folder))
        bundles = [*shelf.good, shelf.damaged, shelf.refused]
        champions = {shelf.good[0].digest}
        for action, which in actions:
            _act(service, action, bundles[which])
            newest = service.log.newest()
            assert newest is not None
            assert newest.champion is not None
            champions.add(newest.champion.digest)
            # Never a bundle that no record has named, and all workers alike.
            assert service.digest() in champions
        service.settle()
        newest = service.log.newest()
        assert newest is not None
        bad = {shelf.damaged, shelf.refused}
        state = service.position.state()
        if bad.isdisjoint(serving_refs(newest)):
            assert service.position.served == newest
            assert not state.lagging
            assert service.fleet.plan.challengers == plan_of(newest, service.pulled.folder).challengers
        else:
            assert state.fault is not None
            assert service.digest() not in {one.digest for one in bad}
        if newest.champion is not None and newest.champion not in bad:
            assert service.digest() == newest.champion.digest
        if newest.next is not None and newest.next not in bad:
            assert service.position.prepared == newest.number


def _act(service: FollowingService, action: str, ref: Ref) -> None:
    builds: dict[str, Callable[[Generation | None], Generation]] = {
        "promote": promoted(ref),
        "prepare": prepared(ref),
        "challenge": challenged(ref),
        "back": back,
        "withdraw": withdrawn,
    }
    if action == "look":
        service.settle()
    elif action == "away":
        with registry_away(service.shelf):
            service.settle()
    else:
        try:
            service.change(builds[action])
        except NothingToRollBack:
            return


def withdrawn(now: Generation | None) -> Generation:
    assert now is not None
    number = now.number + 1
    return replace(now, number=number, challengers=(), change=now_by_tests("withdrawn"))
