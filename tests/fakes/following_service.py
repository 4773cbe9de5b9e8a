"""A real folder registry with small real bundles, and a service that follows it, with threads as workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fakes.fleet_workers import ThreadWorker
from fakes.tiny_bundle import write_tiny_bundle

from bundle.registry import changes
from bundle.registry.generation import Change, Generation, Ref
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from bundle.system.memory import Memory
from service.errors import ChangeRefused
from service.following.followed_file import bundles_folder
from service.following.follower import Follower
from service.following.kept import KeptOpen
from service.following.lineups import plan_of
from service.following.opener import Opener
from service.following.position import Position
from service.following.pulled import PulledBundles
from service.following.state import SharedFleetState
from service.lineup.experiments import Experiments
from service.lineup.fleet import Fleet

ROOMY = Memory(2**33, 2**32)


@dataclass
class Shelf:
    """A registry, and what lies in it."""

    registry: Registry
    folder: Path
    good: list[Ref]
    damaged: Ref
    """A file of it was changed in the registry"""
    refused: Ref
    """It cannot be opened on this machine"""
    of_other_classes: Ref


def write_shelf(folder: Path) -> Shelf:
    """A registry in `folder`."""
    registry = open_registry(str(folder / "registry"))

    def push(name: str, classes: int = 2) -> Ref:
        return registry.push(write_tiny_bundle(folder / name, name=name, classes=classes), "tests")

    good = [push(name) for name in ("one", "two", "three")]
    damaged, refused, of_other_classes = push("damaged"), push("refused"), push("others", 3)
    model = folder / "registry" / "bundles" / damaged.digest / "files" / "stage_a" / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(b"x" + model.read_bytes()[1:])
    return Shelf(registry, folder / "registry", good, damaged, refused, of_other_classes)


class FollowingService:
    """One service with two workers, which looks when it is told."""

    def __init__(self, shelf: Shelf, data_dir: Path, keep: float = 3600.0) -> None:
        self.shelf, self.data_dir, self.name = shelf, data_dir, f"f-{uuid4().hex}"
        self.log = shelf.registry.fleet(self.name)
        self.change(lambda now: changes.promoted(now, shelf.good[0], now_by_tests()))
        first = self.log.newest()
        assert first is not None
        self.pulled = PulledBundles(bundles_folder(data_dir), shelf.registry, None)
        self.pulled.fetch(shelf.good[0])
        self.fleet = Fleet(plan_of(first, self.pulled.folder))
        self.workers = [ThreadWorker(self.fleet, number) for number in range(2)]
        self.shared = SharedFleetState()
        self.memory: Memory | None = ROOMY
        self.position = Position(
            self.name,
            first,
            self.shared,
            data_dir,
            KeptOpen(keep, memory=lambda: self.memory),
        )
        self.opener = Opener(self.fleet, self.pulled, self.position, self._trial, lambda: None)
        self.experiments = Experiments(self.fleet)
        self.follower = Follower(
            *(self.log, self.pulled, self.position, self.fleet, self.opener),
            self.experiments.adopt,
            lambda: None,
        )

    def change(self, build: Callable[[Generation | None], Generation]) -> Generation:
        return self.log.change(build)

    def settle(self) -> None:
        """Look until nothing is left to do."""
        for _ in range(2):
            self.follower.look()
            self.opener.look()
        self.follower.look()

    def digest(self) -> str:
        """Of the champion that every worker serves."""
        (plan,) = {worker.plan for worker in self.workers}
        assert plan == self.fleet.plan
        return plan.champion.name

    def _trial(self, folder: Path, cancelled: Callable[[], bool]) -> None:
        if folder.name == self.shelf.refused.digest:
            raise ChangeRefused("its model never ends")


def now_by_tests(reason: str = "a test") -> Change:
    return Change(time.time(), "tests", reason)
