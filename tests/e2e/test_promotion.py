"""A fleet of three real services follows a registry in a real S3 server, with a real Valkey as their store.

One scene for all tests of the file, since starts are what costs; each test begins by making the bundle that
it needs the champion.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.fleet_bundles import tinted_image
from fakes.fleet_scene import FLEET, FleetScene, version_of
from fakes.served_fleet import ServedFleet
from fakes.tcp_proxy import Fault
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B, colour_image
from fakes.waiting import eventually
from harness.fleet_load import FleetLoad

from bundle.registry.changes import promoted
from bundle.registry.generation import Change, Generation

pytestmark = pytest.mark.xdist_group("fleet")

BY = ("--by", "Ada", "--reason", "measured as better")
STRENGTHS = (ANSWERED_BY_A, ANSWERED_BY_B, ABSTAINED)
IMAGES = [colour_image(label, strength, 7) for label in (0, 1) for strength in STRENGTHS]
IMAGES += [tinted_image(seed) for seed in (1, 2)]
PLAN = """
gates: {leave_out: [latency, memory, start]}
shadow: {units: 20, longest: 2m, agreement: 0.95}
canary:
  - {share: 0.25, units: 10, longest: 2m}
  - {share: 0.5, units: 20, longest: 2m}
guardrails: {coverage: 0.5, risk: none, errors: 0.5, latency: none}
services: 3
lease: 2s
"""


class Fleet:
    """The scene, its services and its bundles."""

    def __init__(self, scene: FleetScene, services: ServedFleet) -> None:
        self.scene, self.services = scene, services
        self.folders = {
            "one": scene.write("one"),
            "two": scene.write("two", gain=1.1),
            "three": scene.write("three", gain=1.2),
            "shy": scene.write("shy", gain=1.05, fault="shy"),
            "weak": scene.write("weak", feasible=False),
        }
        self.plan = scene.folder / "plan.yaml"
        self.plan.write_text(PLAN)

    def version(self, name: str) -> str:
        return version_of(self.folders[name])

    def load(self) -> FleetLoad:
        known = [(version_of(folder), folder) for folder in self.folders.values()]
        return FleetLoad(self.services.addresses, IMAGES, known, pause=0.02)

    def promote(self, name: str) -> tuple[str | Path, ...]:
        return ("promote", self.folders[name], "--plan", self.plan, "--yes", *BY)

    @property
    def newest(self) -> Generation:
        found = self.scene.log.newest()
        assert found is not None
        return found

    def phases(self, since: int) -> list[str]:
        """Of the promotions after a generation, in their order."""
        found = [
            one.promotion.phase for one in self.scene.log.history() if one.number > since and one.promotion
        ]
        return list(dict.fromkeys(found))

    def require(self, name: str) -> None:
        """Make a bundle the champion, if it is not, and wait until every service has it."""
        ref = self.scene.registry.push(self.folders[name], "a test")
        change = Change(time.time(), "a test", f"begins with {name}")
        if self.newest.champion != ref:
            self.scene.log.change(lambda now: promoted(now, ref, change))
        self.until_all_serve(name)

    def until_all_serve(self, name: str) -> None:
        """Every service answers from this bundle, of the newest generation, and is not between two."""
        number = self.newest.number
        self.services.until(
            lambda state: (state["generation"], state["lagging"], state["stale"]) == (number, False, False)
        )
        assert self.services.versions() == {self.version(name)}


def ended(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """What a command said, which has ended with `code`."""
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Its first champion is `one`."""
    folder = tmp_path_factory.mktemp("fleet")
    with FleetScene(folder) as scene:
        plan = folder / "first.yaml"
        plan.write_text("{gates: {leave_out: [latency, memory, start]}, services: 0}")
        first = scene.write("first")
        assert "promoted" in ended(scene.demur("promote", first, "--plan", plan, "--yes", *BY))
        with ServedFleet(folder / "services", scene.environment, FLEET) as services:
            yield Fleet(scene, services)


def test_a_newcomer_is_promoted_in_steps_under_load_and_the_fleet_goes_back_at_once(fleet: Fleet) -> None:
    fleet.require("one")
    one, two = fleet.version("one"), fleet.version("two")
    before = fleet.newest.number
    with fleet.load() as load:
        said = ended(fleet.scene.demur(*fleet.promote("two")))
        fleet.until_all_serve("two")
        began = time.perf_counter()
        assert "shadow" in said
        steps = ["gates", "prepare", "shadow", "canary", "everything", "promoted"]
        assert fleet.phases(before) == steps
        eventually(lambda: load.tally.versions(since=began).total() > 20)
        ended(fleet.scene.demur("rollback", *BY))
        fleet.until_all_serve("one")
        back = time.perf_counter()
        eventually(lambda: load.tally.versions(since=back).total() > 20)
    assert load.tally.mixed == []
    assert load.tally.lost == 0
    assert set(load.tally.versions(since=back)) == {one}
    assert set(load.tally.versions()) == {one, two}
    assert load.tally.turned_back(two, one, began) == 0
    said = ended(fleet.scene.demur("rollback", *BY), code=2)
    assert "demur promote" in said


def test_a_newcomer_that_promises_less_never_meets_a_service(fleet: Fleet) -> None:
    fleet.require("one")
    before = fleet.newest.number
    said = ended(fleet.scene.demur(*fleet.promote("weak")), code=3)
    assert "certificate" in said
    assert fleet.phases(before) == ["gates", "rolled-back"]
    fleet.until_all_serve("one")


def test_a_guardrail_withdraws_a_newcomer_that_answers_less(fleet: Fleet) -> None:
    fleet.require("one")
    before = fleet.newest.number
    plan = fleet.scene.folder / "shy.yaml"
    plan.write_text(
        "gates: {leave_out: [latency, memory, start]}\nshadow: none\n"
        "canary: [{share: 0.5, units: 1000000, longest: 5m}]\n"
        "guardrails: {coverage: 0.02, risk: none, errors: none, latency: none}\nservices: 3\nlease: 2s\n"
    )
    command = ("promote", fleet.folders["shy"], "--plan", plan, "--yes", *BY)
    with fleet.load() as load:
        said = ended(fleet.scene.demur(*command), code=3)
    assert "coverage" in said
    assert fleet.phases(before) == ["gates", "prepare", "canary", "rolled-back"]
    fleet.until_all_serve("one")
    assert load.tally.mixed == []
    assert load.tally.lost == 0


def test_a_promoter_and_a_service_are_killed_in_the_middle(fleet: Fleet) -> None:
    fleet.require("one")
    before = fleet.newest.number
    with fleet.load() as load:
        with fleet.scene.start(*fleet.promote("three")) as promoter:
            eventually(lambda: "canary" in fleet.phases(before))
            promoter.send_signal(signal.SIGKILL)
        fleet.services.kill(1)
        with fleet.scene.start("promote", "--resume", "--yes", *BY) as promoter:
            fleet.services.start(1)
            out, err = promoter.communicate(timeout=300)
        assert promoter.returncode == 0, f"{out}\n{err}"
        fleet.until_all_serve("three")
    assert load.tally.mixed == []
    assert sum(load.tally.refused.values()) == 0


def test_services_outlive_the_registry_and_start_without_it(fleet: Fleet) -> None:
    fleet.require("one")
    number = fleet.newest.number
    ref = fleet.scene.registry.push(fleet.folders["two"], "a test")
    with fleet.load() as load:
        with fleet.scene.proxy.gone():
            fleet.services.until(lambda state: bool(state["stale"]))
            fleet.services.kill(2)
            fleet.services.start(2)
            state = fleet.services.health(2)
            assert (state["fleet"]["generation"], state["fleet"]["stale"]) == (number, True)
            assert state["bundle"]["version"] == fleet.version("one")
            change = Change(time.time(), "a test", "while the services do not see it")
            fleet.scene.log.change(lambda now: promoted(now, ref, change))
        fleet.until_all_serve("two")
        with fleet.scene.proxy.broken(Fault(silent=True)):
            fleet.services.until(lambda state: bool(state["stale"]))
        fleet.until_all_serve("two")
    assert load.tally.mixed == []
    assert sum(load.tally.refused.values()) == 0
