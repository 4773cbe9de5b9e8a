"""Parts of the measurement of promotions that need no service: kills after each record, and writers."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from fakes.s3_server import S3Server

from harness.figures import markdown
from harness.promotions_at_once import AtOnce, begin_at_once
from harness.record import Claim, Recording
from harness.simulated_kills import kill_after_each_record
from harness.writers_trial import Writers, write_at_once

_ABOUT_STEPS = """\
The promoter is a process that gets SIGKILL right after the record of a step, and the next one takes over.
Records are files; the services are simulated in the process and the seconds of the promoter, so a kill takes
all of them with it. Half of the newcomers are equal, and half are ended by a guardrail in the canary."""
_ABOUT_WRITERS = """\
Two processes write the next generation of a fleet at the same moment, and then change the newest one, in a
folder and in a real S3 server (SeaweedFS). Of two writers of a generation one must be told that it is
written, and the other who wrote it; changes must all be in the history. Two promotions begin at the same
moment in two processes, with services in simulated time."""


def measure_steps(given: Namespace, folder: Path, recording: Recording) -> list[str]:
    """Faults of kills in simulated time."""
    found = kill_after_each_record(folder, given.times)
    rows = [[step, str(count)] for step, count in found.kills.items()]
    table = markdown(["killed after the record of", "times"], rows)
    endings = ", ".join(f"{count} {phase}" for phase, count in found.endings.items())
    print(table, f"endings: {endings}", sep="\n")
    recording.save(
        "promotion-steps",
        "robustness",
        "Promoters killed after each of their records",
        about=_ABOUT_STEPS,
        claims=[
            Claim(
                f"{found.kills.total()} kills (-9) of a promoter, {given.times} or more after each record",
                f"{len(found.faults)} faults; {endings}",
                "each resumes or rolls back: one champion a generation, nothing left over",
                not found.faults,
            )
        ],
        detail=table,
        raw="\n".join([table, endings, *found.faults]),
    )
    return found.faults


def measure_writers(given: Namespace, folder: Path, recording: Recording) -> list[str]:
    """Faults of writers at the same moment."""
    begun = begin_at_once(folder / "promotions", given.writers)
    found = {"folder": write_at_once(str(folder / "registry"), given.writers)}
    with S3Server(folder / "s3") as server:
        # Their processes inherit them.
        os.environ.update(server.environment)
        found["S3 server"] = write_at_once(server.address(), given.writers)
    titles = ["registry in", "rounds", "without exactly one winner", "told of another record", "changes lost"]
    table = markdown(titles, [_row(name, one) for name, one in found.items()])
    faults = [f"{name}: {fault}" for name, one in found.items() for fault in one.faults] + begun.faults
    print(table, f"promotions: {begun}", sep="\n")
    recording.save(
        "fleet-writers",
        "robustness",
        "Two writers of a fleet at the same moment",
        about=_ABOUT_WRITERS,
        claims=[_claim_of_writers(found), _claim_of_promotions(begun)],
        detail=table,
        raw="\n".join([table, str(begun), *faults]),
    )
    return faults


def _row(name: str, one: Writers) -> list[str]:
    counts = (one.rounds, one.two_winners, one.wrongly_told, one.lost + one.unlike)
    return [name, *map(str, counts)]


def _claim_of_writers(found: dict[str, Writers]) -> Claim:
    two = sum(one.two_winners for one in found.values())
    wrong = sum(one.wrongly_told for one in found.values())
    lost = sum(one.lost + one.unlike for one in found.values())
    rounds = " and ".join(f"{one.rounds} in a {name}" for name, one in found.items())
    return Claim(
        f"two writers of a generation at the same moment, times: {rounds}",
        f"{two} without exactly one winner, {wrong} wrongly told, {lost} lost",
        "0, 0 and 0",
        not (two or wrong or lost),
    )


def _claim_of_promotions(begun: AtOnce) -> Claim:
    return Claim(
        f"two promotions that begin at the same moment, {begun.rounds} times",
        f"{begun.rounds - len(begun.faults)} times exactly one went on, and the other was told "
        f"({', '.join(sorted(begun.refusals))})",
        f"{begun.rounds} times",
        not begun.faults,
    )
