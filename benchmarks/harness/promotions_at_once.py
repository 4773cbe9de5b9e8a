"""Two processes that begin a promotion of one fleet at the same moment, with services in simulated time."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

from fakes.simulated_fleet import PLAN, ScriptedGates, SimulatedFleet, prepared_registry

from bundle.registry.fleet_log import Overtaken
from deploy.errors import PromotionRefused
from deploy.gates.outcome import GateResult
from deploy.promotion.promoter import Order, promote

_PATIENCE: Final = 120.0
_NEWCOMERS: Final = ("two", "three")


@dataclass(frozen=True, slots=True)
class _LateGates(ScriptedGates):
    """Gates that pass as soon as the other promotion has begun, or was refused."""

    both_told: Callable[[], None] = lambda: None

    def run(self, *given: Any) -> tuple[GateResult, ...]:
        self.both_told()
        return ScriptedGates.run(self, *given)


@dataclass(slots=True)
class AtOnce:
    """What came of promotions that began at the same moment."""

    rounds: int
    refusals: set[str] = field(default_factory=set)
    """Kinds of errors with which one was refused"""
    faults: list[str] = field(default_factory=list)


def begin_at_once(folder: Path, rounds: int) -> AtOnce:
    """One of the two must lead its promotion to the end, and the other be told and leave nothing."""
    found = AtOnce(rounds)
    prepared_registry(folder / "prepared")
    for _ in range(rounds):
        place = folder / "registry"
        shutil.copytree(folder / "prepared" / "registry", place)
        told = _both(place)
        won = [name for name, said in told if said == "promoted"]
        refused = [said for _, said in told if said != "promoted"]
        found.refusals.update(refused)
        records = SimulatedFleet(place).records()
        ids = {one.promotion.id for one in records if one.promotion is not None}
        champion = records[-1].champion
        if len(won) != 1 or len(ids) != 1:
            found.faults.append(f"{len(won)} of two were promoted, in {len(ids)} promotions")
        elif champion is None or champion.label.partition(":")[0] != won[0]:
            found.faults.append(f"{won[0]} was promoted, and the champion is {champion}")
        shutil.rmtree(place)
    return found


def _both(place: Path) -> list[tuple[str, str]]:
    """(newcomer, what its promoter was told) of the two."""
    # This process has one thread, so a fork of it is whole.
    context = multiprocessing.get_context("fork")
    start, told, said = context.Barrier(2), context.Barrier(2), context.SimpleQueue()
    given = [(place, name, start, told, said) for name in _NEWCOMERS]
    promoters = [context.Process(target=_promoter, args=one) for one in given]
    for one in promoters:
        one.start()
    for one in promoters:
        one.join(_PATIENCE)
    return [said.get() for _ in promoters]


def _promoter(place: Path, name: str, start: Barrier, told: Barrier, said: Any) -> None:
    fleet = SimulatedFleet(place)
    newcomer = next(one.ref for one in fleet.registry.bundles() if one.name == name)
    gates = _LateGates(both_told=lambda: told.wait(_PATIENCE))
    start.wait(_PATIENCE)
    try:
        outcome = promote(fleet.scene(gates=gates), PLAN, newcomer, Order("benchmark", "measured"))
        said.put((name, outcome.phase))
    except (PromotionRefused, Overtaken) as error:
        said.put((name, type(error).__name__))
        told.wait(_PATIENCE)
