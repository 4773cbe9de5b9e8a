"""`demur serve` over a registry: real processes, a real store, a registry that goes and comes back."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.following_service import now_by_tests
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import ANSWERED_BY_A, colour_image, write_tiny_bundle
from fakes.waiting import eventually

from bundle.registry import changes
from bundle.registry.generation import Generation, Ref
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from monitoring.fleet.reports import FleetReports
from monitoring.fleet.wake import FleetWake

TOKEN = "t" * 40
JPEG = {"Content-Type": "image/jpeg"}
Build = Callable[[Generation | None], Generation]


class Scene:
    """A registry with two bundles, and a fleet of which the first is the champion."""

    def __init__(self, folder: Path, store: str, fleet: str) -> None:
        self.folder, self.store, self.name = folder, store, fleet
        self.address = folder / "registry"
        self.registry: Registry = open_registry(str(self.address))
        self.one, self.two = (self._push(name) for name in ("one", "two"))
        self.log = self.registry.fleet(fleet)
        self.change(lambda now: changes.promoted(now, self.one, now_by_tests()))

    def _push(self, name: str) -> Ref:
        return self.registry.push(write_tiny_bundle(self.folder / name, name=name), "tests")

    def change(self, build: Build) -> Generation:
        made = self.log.change(build)
        with FleetWake(self.store, self.name) as wake:
            wake.publish()
        return made

    def prepare(self, ref: Ref) -> Build:
        def build(now: Generation | None) -> Generation:
            assert now is not None
            return changes.with_next(now, ref, now_by_tests())

        return build

    def promote(self, ref: Ref) -> Build:
        return lambda now: changes.promoted(now, ref, now_by_tests())

    def service(self, data: str = "data", **given: Any) -> ServiceProcess:
        return ServiceProcess(
            self.folder / "unused",
            self.folder / data,
            **{"registry": str(self.address), "redis_url": self.store, **given},
        )


@pytest.fixture
def scene(tmp_path: Path, valkey_url: str) -> Scene:
    return Scene(tmp_path, valkey_url, f"roads-{tmp_path.name[-20:]}".lower().replace("_", "-"))


def fleet_of(service: ServiceProcess) -> dict[str, Any]:
    with service.client() as client:
        found: dict[str, Any] = client.get("/health").json()["fleet"]
    return found


def metrics_of(service: ServiceProcess) -> str:
    with service.client() as client:
        return client.get("/metrics").text


def serves(service: ServiceProcess, ref: Ref) -> bool:
    """Whether /health and an answer are of this bundle."""
    with service.client(every_worker=True) as client:
        bundle = client.get("/health").json()["bundle"]
        answer = client.post("/predict", content=colour_image(1, ANSWERED_BY_A), headers=JPEG).json()[
            "bundle"
        ]
    return ref.label == f"{bundle['name']}:{bundle['version']}" == f"{answer['name']}:{answer['version']}"


def test_two_workers_follow_prepare_swap_and_go_back(scene: Scene) -> None:
    with (
        scene.service(workers=2, admin_port=0, admin_token=TOKEN, service_name="pod-1") as service,
        FleetReports(scene.store, scene.name) as reports,
    ):
        assert serves(service, scene.one)
        eventually(lambda: [one.service for one in reports.all()] == ["pod-1"])
        scene.change(scene.prepare(scene.two))
        eventually(lambda: [one.prepared for one in reports.all()] == [2])
        eventually(lambda: [one.opened for one in reports.all()] == [(scene.one.digest, scene.two.digest)])
        assert serves(service, scene.one)
        scene.change(scene.promote(scene.two))
        eventually(lambda: [one.champion for one in reports.all()] == [scene.two.digest])
        assert all(serves(service, scene.two) for _ in range(8))
        # The workers swap first, and what is shown of the fleet follows.
        eventually(lambda: fleet_of(service)["generation"] == 3)
        eventually(lambda: [one["bundle"] for one in fleet_of(service)["kept"]] == [scene.one.label])
        gauge = f'demur_champion_generation{{fleet="{scene.name}"}} 3.0'
        eventually(lambda: gauge in metrics_of(service))
        with service.admin(TOKEN) as admin:
            refused = admin.post(f"/bundles/{scene.one.digest}/activate")
            assert refused.status_code == 409
            assert "demur promote" in refused.json()["detail"]
            admin.post("/rollback", json={"by": "a person", "reason": "to test"})
        eventually(lambda: serves(service, scene.one))
        eventually(lambda: fleet_of(service)["generation"] == 4)
        assert service.stop() == 0
        assert reports.all() == []


def test_a_start_without_the_registry_serves_what_was_served_and_follows_again(scene: Scene) -> None:
    with scene.service() as service:
        scene.change(scene.promote(scene.two))
        # Shown once it is on the disk, which is after the workers serve it.
        eventually(lambda: fleet_of(service)["generation"] == 2)
        assert serves(service, scene.two)
    away = scene.address.with_name("away")
    scene.address.rename(away)
    with scene.service() as service:
        assert serves(service, scene.two)
        found = fleet_of(service)
        assert (found["stale"], found["lagging"], found["generation"]) == (True, True, 2)
        assert "registry" in found["note"]
        away.rename(scene.address)
        eventually(lambda: not fleet_of(service)["stale"])
        scene.change(lambda now: changes.rolled_back(now, now_by_tests()))
        eventually(lambda: serves(service, scene.one))
        with pytest.raises(AssertionError, match="in use by another demur service that follows"):
            scene.service().__enter__()


def test_a_start_with_neither_says_what_is_missing(scene: Scene) -> None:
    missing = scene.folder / "nowhere"
    with pytest.raises(AssertionError) as caught:
        scene.service(registry=str(missing)).__enter__()
    said = str(caught.value).strip().splitlines()[-1]
    assert "there is nothing to serve: " in said
    assert str(missing) in said
    assert "holds nothing that was served before" in said


def test_a_copy_that_was_changed_is_not_served(scene: Scene) -> None:
    with scene.service():
        pass
    model = scene.folder / "data" / "registry" / "bundles" / scene.one.digest / "stage_a" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")
    away = scene.address.with_name("away")
    scene.address.rename(away)
    with pytest.raises(AssertionError, match=r"is not in .* as it was"):
        scene.service().__enter__()
    away.rename(scene.address)
    with scene.service() as service:
        assert serves(service, scene.one)


def test_a_model_name_that_is_not_the_fleets_is_refused(scene: Scene) -> None:
    with pytest.raises(AssertionError, match="leave DEMUR_MODEL out, or set it to"):
        scene.service(model="another").__enter__()


def _moments() -> Iterator[float]:
    source = random.Random(7)
    yield from (source.uniform(0.0, 1.5) for _ in range(3))


def test_killed_at_any_moment_it_serves_the_newest_record_after_the_next_start(scene: Scene) -> None:
    turn = (scene.one, scene.two)
    for number, seconds in enumerate(_moments()):
        with scene.service() as service:
            scene.change(scene.promote(turn[(number + 1) % 2]))
            time.sleep(seconds)  # Some moment of the pull, the opening, the swap, or after it.
            os.kill(service.process.pid, signal.SIGKILL)
            service.process.wait()
    with scene.service() as service:
        assert serves(service, turn[1])
        assert fleet_of(service)["generation"] == 4
        assert not list((scene.folder / "data" / "registry").glob(".*.json*"))
