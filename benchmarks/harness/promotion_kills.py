"""Promotions whose promoter is killed after each of its steps, and a service of the fleet with it.

Everything is a real process: the promoter is `demur promote`, and the next one `demur promote --resume`. What
must hold is looked for all the time: a service has the champion of the generation that it reports, and at the
end every service has the newest one and nothing of the promotion is left over.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

from fakes.fleet_scene import FLEET, FleetScene
from fakes.served_fleet import ServedFleet

from bundle.registry.generation import Generation, PromotionState
from bundle.registry.promotions import ENDED
from harness import processes
from monitoring.fleet.reports import FleetReports

_LONGEST_DELAY: Final = 0.5
"""Seconds from the record of a step to the kill, at most"""
_LOOK_EVERY: Final = 0.02
_PATIENCE: Final = 300.0


@dataclass(slots=True)
class Kills:
    """What the kills did."""

    promoters: Counter[str] = field(default_factory=Counter)
    """Kills of a promoter, by the step whose record was written last"""
    services: Counter[str] = field(default_factory=Counter)
    """Kills of a service, likewise"""
    endings: Counter[str] = field(default_factory=Counter)
    """Promotions, by how they ended"""
    two_champions: list[str] = field(default_factory=list)
    """Reports of another champion than that of the generation that they name"""
    between: list[str] = field(default_factory=list)
    """Services that did not come to the newest generation, or promotions that left something over"""
    reports: int = 0
    """Reports that were compared with the records"""
    orphans: int = 0
    """Processes of a killed promoter that lived on"""

    @property
    def faults(self) -> list[str]:
        found = [*self.two_champions[:5], *self.between[:5]]
        return found + ([f"{self.orphans} processes of killed promoters lived on"] if self.orphans else [])


class ReportWatch:
    """A context manager: inside, every report of a service is compared with the record that it names."""

    def __init__(self, scene: FleetScene, found: Kills) -> None:
        self._scene, self._found = scene, found
        self._over = Event()
        self._known: dict[int, str | None] = {}
        self._thread = Thread(target=self._run, name="report-watch")

    def __enter__(self) -> ReportWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        log = self._scene.log
        with closing(FleetReports(self._scene.store.url, FLEET)) as reports:
            while not self._over.wait(_LOOK_EVERY):
                for one in reports.all():
                    if one.generation not in self._known:
                        record = log.after(one.generation - 1)
                        self._known[one.generation] = (
                            None if record is None or record.champion is None else record.champion.digest
                        )
                    self._found.reports += 1
                    if one.champion != self._known[one.generation]:
                        self._found.two_champions.append(
                            f"{one.service} has {one.champion_label} in generation {one.generation}, whose "
                            f"champion is {self._known[one.generation]}"
                        )


def kill_each_step(
    scene: FleetScene, fleet: ServedFleet, newcomer: Path, plan: Path, found: Kills, rng: random.Random
) -> None:
    """One promotion: its promoter is killed after every record of a step, and each time a service with it."""
    before = _newest(scene).promotion
    order = ("--plan", plan, "--yes", "--by", "benchmark", "--reason", "measured")
    promoter = scene.start("promote", newcomer, *order)
    try:
        killed: set[tuple[str, int]] = set()
        give_up = time.monotonic() + _PATIENCE
        while (state := _running_after(scene, before)) is None or state.phase not in ENDED:
            if time.monotonic() > give_up:
                found.between.append(f"no end after {_PATIENCE:g} s: {state}")
                return
            if state is not None and (state.phase, state.step) not in killed:
                killed.add((state.phase, state.step))
                time.sleep(rng.uniform(0.0, _LONGEST_DELAY))
                found.orphans += _kill(promoter)
                number = rng.randrange(len(fleet.services))
                fleet.kill(number)
                for kills in (found.promoters, found.services):
                    kills[f"{state.phase} {state.step + 1}"] += 1
                promoter = _resumed(scene, promoter)
                fleet.start(number)
            elif promoter.poll() is not None:
                # It ended because the record was another one by then; the next one tries again.
                promoter = _resumed(scene, promoter)
            time.sleep(_LOOK_EVERY)
        found.endings[state.phase] += 1
    finally:
        promoter.kill()
        promoter.communicate()
    _require_rest(scene, fleet, found)


def _running_after(scene: FleetScene, before: PromotionState | None) -> PromotionState | None:
    """The promotion that came after `before`; None before its first record."""
    state = _newest(scene).promotion
    return None if state is None or (before is not None and state.id == before.id) else state


def _resumed(scene: FleetScene, before: subprocess.Popen[str]) -> subprocess.Popen[str]:
    before.communicate()
    return scene.start("promote", "--resume", "--yes", "--by", "benchmark")


def _kill(promoter: subprocess.Popen[str]) -> int:
    """Number of its processes that lived on."""
    family = [one for pid in processes.tree(promoter.pid) if (one := processes.identity(pid)) is not None]
    os.kill(promoter.pid, signal.SIGKILL)
    promoter.wait()
    left = processes.wait_for_end([one for one in family if one[0] != promoter.pid], 10.0)
    processes.end(left)
    return len(left)


def _newest(scene: FleetScene) -> Generation:
    found = scene.log.newest()
    assert found is not None
    return found


def _require_rest(scene: FleetScene, fleet: ServedFleet, found: Kills) -> None:
    """Every service comes to the newest generation, and nothing of the promotion is left over."""
    now = _newest(scene)
    assert now.champion is not None
    if now.challengers or now.next is not None or now.experiment is not None:
        found.between.append(f"generation {now.number} holds {now.challengers}, {now.next}, {now.experiment}")
    version = now.champion.label.rpartition(":")[2]
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        states = [(fleet.health(number), fleet.services[number]) for number in range(len(fleet.services))]
        behind = [
            body
            for body, _ in states
            if body["fleet"]["generation"] != now.number or body["bundle"]["version"] != version
        ]
        if not behind:
            return
        time.sleep(0.1)
    found.between.append(f"after {_PATIENCE:g} s a service is not at generation {now.number}: {behind}")
