"""Rollbacks of a fleet under load: how long until every answer is from the old bundle, and is one lost?"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
from fakes.fleet_scene import FleetScene, version_of
from fakes.served_fleet import ServedFleet

from bundle.registry.changes import promoted
from bundle.registry.generation import Change, Ref
from harness.fleet_load import FleetLoad, FleetTally

_SETTLED: Final = 0.5
"""Seconds of answers from one bundle alone before the next change"""
_PATIENCE: Final = 60.0


class NotSettled(RuntimeError):
    """The fleet did not come to answer from one bundle."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """One rollback under load."""

    seconds: float
    """From the start of the command to the last answer of the bundle that was left"""
    from_record: float
    """From the time of the record to that answer"""
    answers: int
    """From the command until the fleet had settled"""


@dataclass(frozen=True, slots=True)
class Rollbacks:
    """Rollbacks of one way of asking for them."""

    rounds: tuple[Rollback, ...]
    lost: int
    """Requests that were accepted and not answered"""
    mixed: tuple[str, ...]
    """Answers that are no answer of the bundle that they name"""
    turned_back: int
    """Answers of the bundle that was left to requests that began after an answer of the old one"""

    @property
    def median(self) -> float:
        return float(np.median([one.seconds for one in self.rounds]))

    @property
    def worst(self) -> float:
        return max(one.seconds for one in self.rounds)


def roll_back_under_load(
    scene: FleetScene,
    fleet: ServedFleet,
    images: list[bytes],
    bundles: tuple[tuple[Ref, Path], tuple[Ref, Path]],
    rounds: int,
    order: Callable[[], None],
) -> Rollbacks:
    """Make the second bundle the champion and go back to the first one by `order`, `rounds` times."""
    (_, old_folder), (new, new_folder) = bundles
    versions = version_of(old_folder), version_of(new_folder)
    found: list[Rollback] = []
    turned_back = 0
    reference = list(zip(versions, (old_folder, new_folder), strict=True))
    with FleetLoad(fleet.addresses, images, reference) as load:
        for number in range(rounds):
            note = Change(time.time(), "benchmark", f"round {number}")
            scene.log.change(lambda now, note=note: promoted(now, new, note))
            _settle(load.tally, versions[1], len(fleet.services))
            began = perf_counter()
            order()
            _settle(load.tally, versions[0], len(fleet.services))
            last = load.tally.last(versions[1])
            assert last is not None
            written = scene.log.newest()
            assert written is not None
            # The record has the time of day; the answers have the steady clock.
            age = time.time() - written.change.at
            found.append(
                Rollback(
                    last - began,
                    last - (perf_counter() - age),
                    sum(load.tally.versions(since=began).values()),
                )
            )
            turned_back += load.tally.turned_back(versions[1], versions[0], began)
    tally = load.tally
    return Rollbacks(tuple(found), tally.lost, tuple(tally.mixed), turned_back)


def by_command(scene: FleetScene) -> Callable[[], None]:
    """`demur rollback`, as a person types it."""

    def order() -> None:
        ended = scene.demur("rollback", "--reason", "measured", "--by", "benchmark")
        if ended.returncode:
            raise subprocess.CalledProcessError(
                ended.returncode, "demur rollback", ended.stdout, ended.stderr
            )

    return order


def by_private_port(fleet: ServedFleet) -> Callable[[], None]:
    """POST /rollback on the private port of one service."""

    def order() -> None:
        with fleet.admin(0) as owner:
            owner.post("/rollback", json={"by": "benchmark", "reason": "measured"}).raise_for_status()

    return order


def _settle(tally: FleetTally, version: str, services: int) -> None:
    """Wait until every service has answered from `version` alone for a while."""
    give_up = perf_counter() + _PATIENCE
    while perf_counter() < give_up:
        time.sleep(_SETTLED / 5)
        recent = [one for one in tally.seen[-20_000:] if one.ended > perf_counter() - _SETTLED]
        alone = all(one.version == version for one in recent)
        if alone and len({one.service for one in recent}) == services:
            return
    raise NotSettled(f"the fleet does not answer from {version} alone within {_PATIENCE:g} s")
