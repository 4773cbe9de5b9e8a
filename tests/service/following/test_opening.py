"""The start of a service that follows: it waits for a champion, and serves nothing that is not trusted."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import pytest
from fakes.following_service import FollowingService, Shelf, now_by_tests
from fakes.signing_keys import write_pair
from fakes.waiting import eventually

from bundle.registry import changes
from service.errors import FleetUnavailable, SettingsError
from service.following.opening import OpenedFleet, opened_fleet
from service.settings import Settings


def settings_of(shelf: Shelf, data_dir: Path, fleet: str, **given: object) -> Settings:
    return Settings.read(
        {}, registry=str(shelf.folder), follow=f"{fleet}/champion", data_dir=data_dir, **given
    )


def test_a_start_waits_for_the_first_champion(shelf: Shelf, tmp_path: Path) -> None:
    fleet, found = f"f-{uuid4().hex}", list[OpenedFleet]()

    def start() -> None:
        with opened_fleet(settings_of(shelf, tmp_path, fleet), lambda folder: None) as opened:
            found.append(opened)

    thread = threading.Thread(target=start)
    thread.start()
    eventually((tmp_path / "registry" / "lock").exists)
    assert found == []
    shelf.registry.fleet(fleet).change(lambda now: changes.promoted(now, shelf.good[1], now_by_tests()))
    thread.join()
    (opened,) = found
    assert (opened.generation.number, opened.plan.champion.name) == (1, shelf.good[1].digest)
    assert opened.settings(settings_of(shelf, tmp_path, fleet)).model == fleet


def test_a_fleet_has_windows_of_its_own_name(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave DEMUR_MODEL out, or set it to roads"):
        settings_of(shelf, tmp_path, "roads", model="other")
    with pytest.raises(SettingsError, match="has its challengers there"):
        settings_of(shelf, tmp_path, "roads", challengers="b=shadow")


def test_what_is_not_signed_is_not_served_where_signatures_are_required(
    service: FollowingService, tmp_path: Path
) -> None:
    key = write_pair(tmp_path / "keys", "one").public
    settings = settings_of(
        *(service.shelf, tmp_path / "other", service.name), signatures="require", trusted_keys=str(key)
    )
    with (
        pytest.raises(FleetUnavailable, match=r"there is nothing to serve: .*not signed"),
        opened_fleet(settings, lambda folder: None),
    ):
        pass


def test_going_back_does_not_wait_for_a_newcomer_that_is_being_tried(service: FollowingService) -> None:
    one, two, three = service.shelf.good
    service.change(lambda now: changes.promoted(now, two, now_by_tests()))
    service.settle()
    tried, goes_on = threading.Event(), threading.Event()

    def trial(folder: Path, cancelled: object) -> None:
        tried.set()
        goes_on.wait()

    service.opener._trial = trial
    newest = service.log.newest()
    assert newest is not None
    service.change(lambda now: changes.with_next(newest, three, now_by_tests()))
    service.follower.look()
    opening = threading.Thread(target=service.opener.look)
    opening.start()
    tried.wait()
    service.change(lambda now: changes.rolled_back(now, now_by_tests()))
    service.follower.look()
    assert service.digest() == one.digest
    goes_on.set()
    opening.join()
    # The record names the newcomer no more, so it is not opened.
    assert three.digest not in {folder.name for folder in service.fleet.plan.folders()}
