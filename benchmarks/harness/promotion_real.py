"""Parts of the measurement of promotions with real services: rollbacks under load, and kills."""

from __future__ import annotations

import random
import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Final

from fakes.fleet_bundles import tinted_image
from fakes.fleet_scene import FLEET, FleetScene, version_of
from fakes.served_fleet import ServedFleet
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B, colour_image

from bundle.registry.changes import promoted
from bundle.registry.generation import Change, Ref
from harness.figures import markdown
from harness.fleet_load import FleetLoad, FleetTally
from harness.promotion_kills import Kills, ReportWatch, kill_each_step
from harness.record import Claim, Recording
from harness.rollback_trial import Rollbacks, by_command, by_private_port, roll_back_under_load

LONGEST_ROLLBACK: Final = 2.0
"""Seconds that are aimed at"""
STRENGTHS: Final = (ANSWERED_BY_A, ANSWERED_BY_B, ABSTAINED)
IMAGES: Final = [colour_image(label, strength, 7) for label in (0, 1) for strength in STRENGTHS]
_BEGAN: Final = 1_700_000_000.0
PLAN: Final = """
gates: {leave_out: [latency, memory, start]}
shadow: {units: 20, longest: 5m, agreement: 0.95}
canary:
  - {share: 0.25, units: 10, longest: 5m}
  - {share: 0.5, units: 20, longest: 5m}
guardrails: {coverage: 0.5, risk: none, errors: 0.5, latency: none}
services: 3
lease: 2s
"""
_ABOUT_KILLS = """\
Three services, an S3 server, a Valkey and `demur promote` as real processes, under load. The promoter gets
SIGKILL up to half a second after the record of each of its steps, and one of the services with it; `demur
promote --resume` goes on, and the service is started again. Every report of a service is compared with the
record that it names, and each answer with what its bundle says of the image; in the end every service must be
at the newest generation."""
_ABOUT_ROLLBACK = """\
Three services with two workers each and two clients per service, an S3 server and a Valkey on the same cores.
Seconds are from the start of `demur rollback` (the start of Python among it), or from the request to the
private port, to the last answer of the bundle that was left. *Lost*: a request that was accepted and got no
answer, or a refusal. *Mixed*: decision, label, stage and probability are not those of the bundle that the
answer names, computed without a service. *Turned back*: an answer of the bundle that was left to a request
that began after the same service had answered from the old one."""


def measure_kills(given: Namespace, folder: Path, recording: Recording) -> list[str]:
    """Faults of kills of real processes."""
    found = Kills()
    with FleetScene(folder) as scene:
        tally = _killed_promotions(scene, given, found)
    faults = [*found.faults, *tally.mixed[:5]]
    steps = sorted(found.promoters.items())
    rows = [[step, str(count), str(found.services[step])] for step, count in steps]
    table = markdown(["after the record of", "promoters killed", "services killed"], rows)
    print(table)
    recording.save(
        "promotion-kills",
        "robustness",
        "Promotions whose promoter and services are killed",
        about=_ABOUT_KILLS,
        claims=[
            Claim(
                f"{found.promoters.total()} kills (-9) of a promoter and {found.services.total()} of a "
                f"service, in {found.endings.total()} promotions",
                f"{_counts(found.endings)}; {len(found.two_champions)} of {found.reports:,} reports with "
                f"another champion, {len(found.between)} left between, {len(tally.mixed)} of "
                f"{len(tally.seen):,} answers mixed",
                "resumed or rolled back; 0, 0 and 0",
                not faults,
            )
        ],
        detail=table,
        raw="\n".join([table, *faults]),
    )
    return faults


def _killed_promotions(scene: FleetScene, given: Namespace, found: Kills) -> FleetTally:
    rng, over = random.Random(given.seed), time.monotonic() + 60.0 * given.minutes
    plan = scene.folder / "plan.yaml"
    plan.write_text(PLAN)
    bundles = [scene.write("one"), scene.write("two", gain=1.1)]
    first, _ = (scene.registry.push(one, "benchmark") for one in bundles)
    _begin_with(scene, first)
    known = [(version_of(one), one) for one in bundles]
    with (
        ServedFleet(scene.folder / "services", scene.environment, FLEET) as fleet,
        FleetLoad(fleet.addresses, IMAGES, known, pause=0.02) as load,
        ReportWatch(scene, found),
    ):
        for turn in range(given.promotions):
            if time.monotonic() > over:
                break
            kill_each_step(scene, fleet, bundles[(turn + 1) % 2], plan, found, rng)
            print(f"promotion {turn + 1}: {_counts(found.endings)}; {found.faults}", flush=True)
    return load.tally


def measure_rollback(given: Namespace, folder: Path, recording: Recording) -> list[str]:
    """Missed targets of rollbacks under load."""
    images = [*IMAGES, *(tinted_image(seed) for seed in (1, 2))]
    with FleetScene(folder) as scene:
        folders = (scene.write("one"), scene.write("two", gain=1.1, fault="wrong"))
        old, new = (scene.registry.push(one, "benchmark") for one in folders)
        _begin_with(scene, old)
        bundles = ((old, folders[0]), (new, folders[1]))
        with ServedFleet(folder / "services", scene.environment, FLEET, workers=2) as fleet:
            orders = {"demur rollback": by_command(scene), "POST /rollback": by_private_port(fleet)}
            found = {
                name: roll_back_under_load(scene, fleet, images, bundles, given.rounds, order)
                for name, order in orders.items()
            }
    titles = ["asked by", "rounds", "seconds, median (worst)", "from the record", "answers"]
    rows = [_rollback_row(name, one) for name, one in found.items()]
    table = markdown([*titles, "lost", "mixed", "turned back"], rows)
    print(table)
    claims = [_rollback_claim(name, one) for name, one in found.items()]
    recording.save(
        "fleet-rollback",
        "robustness",
        "A fleet that goes back under load",
        about=_ABOUT_ROLLBACK,
        claims=claims,
        detail=table,
        raw="\n".join([table, *(str(one) for one in found.values())]),
    )
    return [f"{one.claim}: {one.value}" for one in claims if not one.met]


def _rollback_row(name: str, one: Rollbacks) -> list[str]:
    records = sorted(round_.from_record for round_ in one.rounds)
    answers = sum(round_.answers for round_ in one.rounds)
    return [
        *(name, str(len(one.rounds)), f"{one.median:.2f} ({one.worst:.2f})"),
        f"{records[len(records) // 2]:.2f} ({records[-1]:.2f})",
        *(f"{answers:,}", str(one.lost), str(len(one.mixed)), str(one.turned_back)),
    ]


def _rollback_claim(name: str, one: Rollbacks) -> Claim:
    met = one.worst <= LONGEST_ROLLBACK and not (one.lost or one.mixed or one.turned_back)
    return Claim(
        f"`{name}` of three services under load, {len(one.rounds)} times: to the last answer of the bundle "
        "that was left",
        f"median {one.median:.2f} s, worst {one.worst:.2f} s; {one.lost} lost, {len(one.mixed)} mixed, "
        f"{one.turned_back} turned back",
        f"at most {LONGEST_ROLLBACK:g} s, 0, 0 and 0",
        met,
    )


def _begin_with(scene: FleetScene, first: Ref) -> None:
    scene.log.change(lambda now: promoted(now, first, Change(_BEGAN, "benchmark", "the first champion")))


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.items())
