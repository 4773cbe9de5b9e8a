"""Promoters that get SIGKILL right after a record, with services in simulated time: each step many times.

The promoter is a process of its own and the records are files; its services are simulated in it, so a kill
takes them with it, and the next promoter meets services that start. A promotion takes milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final

from fakes.simulated_fleet import PLAN, SimulatedFleet, prepared_registry

from bundle.registry.generation import Generation
from bundle.registry.promotions import ENDED
from deploy.promotion.events import Event
from deploy.promotion.promoter import Order, promote, resume

_ORDER: Final = Order("benchmark", "measured")
_PATIENCE: Final = 60.0
_MOST_STEPS: Final = 20


@dataclass(slots=True)
class SimulatedKills:
    """What the kills left."""

    kills: Counter[str] = field(default_factory=Counter)
    """By the step whose record was written last"""
    endings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def kill_after_each_record(folder: Path, times: int) -> SimulatedKills:
    """A promotion whose promoter is killed after the record of its n-th step, and resumed; each n, `times`
    times with a newcomer that is equal, and as often with one that a guardrail ends in the canary."""
    found = SimulatedKills()
    prepared_registry(folder / "prepared")
    for fails, _ in product((False, True), range(times)):
        for step in range(1, _MOST_STEPS):
            place = folder / "registry"
            shutil.copytree(folder / "prepared" / "registry", place)
            killed = _lead(place, step, fails=fails)
            if killed:
                last = _records(place)[-1].promotion
                assert last is not None
                found.kills[f"{last.phase} {last.step + 1}"] += 1
                _lead(place, None, fails=fails)
            _compare(found, _records(place))
            shutil.rmtree(place)
            if not killed:
                break
    return found


def _lead(place: Path, step: int | None, *, fails: bool) -> bool:
    """Whether the promoter was killed, after the record of its `step`-th step; None: it is not."""
    # This process has one thread, so a fork of it is whole.
    process = multiprocessing.get_context("fork").Process(target=_promoter, args=(place, step, fails))
    process.start()
    process.join(_PATIENCE)
    assert process.exitcode in (0, -signal.SIGKILL), f"the promoter ended with {process.exitcode}"
    return process.exitcode != 0


def _promoter(place: Path, step: int | None, fails: bool) -> None:
    fleet, begun = SimulatedFleet(place), 0
    if fails:
        fleet.guard_states = {"risk": "beyond"}

    def told(event: Event) -> None:
        nonlocal begun
        begun += event.kind in ("began", *ENDED)
        if begun == step:
            os.kill(os.getpid(), signal.SIGKILL)

    scene, records = fleet.scene(on=told), fleet.records()
    if records[-1].promotion is None:
        newcomer = next(one.ref for one in fleet.registry.bundles() if one.name == "two")
        promote(scene, PLAN, newcomer, _ORDER)
    elif records[-1].promotion.phase not in ENDED:
        resume(scene, _ORDER)


def _records(place: Path) -> list[Generation]:
    return SimulatedFleet(place).records()


def _compare(found: SimulatedKills, records: list[Generation]) -> None:
    """One champion a generation and no gap between them, an end, and nothing left over."""
    last = records[-1]
    assert last.promotion is not None
    found.endings[last.promotion.phase] += 1
    if [one.number for one in records] != list(range(1, len(records) + 1)):
        found.faults.append(f"the generations are {[one.number for one in records]}")
    if last.promotion.phase not in ENDED:
        found.faults.append(f"the promotion ended in {last.promotion.phase}")
    if last.challengers or last.next is not None or last.experiment is not None:
        found.faults.append(f"generation {last.number} holds something of the promotion")
    promoted = last.champion == last.promotion.newcomer
    if promoted != (last.promotion.phase == "promoted"):
        found.faults.append(f"the champion is {last.champion}, and the promotion {last.promotion.phase}")
