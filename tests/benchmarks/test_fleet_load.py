"""The load on a fleet knows which bundle says what of each image, and which answers came out of order."""

from __future__ import annotations

from pathlib import Path

from fakes.fleet_bundles import tinted_image, write_fleet_bundle
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import ANSWERED_BY_B, colour_image
from fakes.waiting import eventually
from harness.fleet_load import FleetLoad, FleetTally, Seen

from bundle.verify import read_manifest

IMAGES = [colour_image(1, ANSWERED_BY_B), tinted_image()]


def test_answers_are_held_against_the_bundle_that_they_name(tmp_path: Path) -> None:
    served = write_fleet_bundle(tmp_path / "one")
    other = write_fleet_bundle(tmp_path / "two", fault="wrong")
    version = read_manifest(served).version
    with ServiceProcess(served, tmp_path / "data", redis_url="off") as service:
        with FleetLoad([service.address], IMAGES, [(version, served)]) as load:
            eventually(lambda: len(load.tally.seen) > 20)
        assert load.tally.mixed == []
        assert load.tally.lost == 0
        assert load.tally.versions() == {version: len(load.tally.seen)}
        with FleetLoad([service.address], IMAGES, [(version, other)]) as load:
            eventually(lambda: len(load.tally.mixed) > 2)
        assert "label=1" in load.tally.mixed[0]
        assert "label=0" in load.tally.mixed[0]
        with FleetLoad([service.address], IMAGES, [("0" * 16, served)]) as load:
            eventually(lambda: len(load.tally.mixed) > 0)
        assert "no bundle of the fleet" in load.tally.mixed[0]


def test_a_service_turns_back_if_a_request_that_began_after_the_change_is_answered_as_before() -> None:
    seen = [
        Seen(0, 0.0, 1.0, "new"),
        Seen(0, 1.0, 2.0, "old"),
        # It began before the first answer of the old bundle came, so it may be either.
        Seen(0, 1.5, 2.5, "new"),
        Seen(1, 2.2, 2.6, "new"),
        Seen(1, 3.0, 4.0, "old"),
    ]
    assert FleetTally(seen).turned_back("new", "old", 0.5) == 0
    assert FleetTally([*seen, Seen(0, 2.1, 3.0, "new")]).turned_back("new", "old", 0.5) == 1
    assert FleetTally(seen).last("new") == 2.6
