"""Workers that are killed while they start, under load: does the service go on?

    python benchmarks/worker_kills.py [--kills 50] [--seed 0] [--record [FOLDER]]

Two workers serve sixteen clients. One worker gets SIGKILL; as soon as its successor exists, that gets SIGKILL
too, after a random part of the time that a start takes, and so on. The other worker is never killed, so it
must answer all the time. After a few kills the killed worker must answer again, and the service is stopped
and started again, because pauses between restarts grow. A kill may cost the requests that the killed worker
was computing, and nothing else. The exit code is 1 if the service ended, a request was refused or more were
dropped than a kill explains, or a stop left a process over. Needs Linux.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from harness import processes
from harness.clients import Clients, Tally
from harness.figures import markdown
from harness.models import write_model_bundle
from harness.photographs import photographs
from harness.record import Claim, Recording, add_record_option
from harness.servers import DEMUR, Launch, RunningServer, ServerFailed, is_worker, start
from harness.trial import usable_cores
from harness.venvs import CACHE

from trainer.run.console import RunConsole

Advance = Callable[[int], None]

WORKERS, CLIENTS = 2, 16
PER_SERVER = 5
"""Kills before the service is started again."""
PATIENCE = 40.0
"""Seconds for a killed worker's successor to appear, or to answer."""


@dataclass(slots=True)
class Kills:
    """What the kills did to the service and to its clients."""

    kills: int = 0
    survived: int = 0
    """Kills after which the service still answered"""
    recovered: int = 0
    """Servers whose killed worker answered again"""
    servers: int = 0
    tallies: list[Tally] = field(default_factory=list)
    log_size: int = 0
    """Size of the server's log at the last kill"""
    orphans: int = 0
    whole_again: list[float] = field(default_factory=list)
    """Seconds from the last start of a worker to its service"""

    @property
    def answered(self) -> int:
        return sum(tally.answered for tally in self.tallies)

    @property
    def dropped(self) -> int:
        return sum(tally.lost for tally in self.tallies)

    @property
    def refused(self) -> int:
        return sum(sum(tally.refused.values()) for tally in self.tallies)

    @property
    def longest_silence(self) -> float:
        """Longest time between two answers, in seconds."""
        gaps = [
            np.diff([at for at, _ in tally.latencies]).max() for tally in self.tallies if tally.answered > 1
        ]
        return float(max(gaps, default=0.0))

    @property
    def faults(self) -> list[str]:
        """What a kill does not explain; each request in flight belongs to one of the clients."""
        allowed = self.kills * CLIENTS
        found = {
            f"{self.kills - self.survived} kills ended the service": self.survived < self.kills,
            f"{self.servers - self.recovered} killed workers did not come back": self.recovered
            < self.servers,
            f"{self.refused} requests were refused": self.refused > 0,
            f"{self.dropped} requests were dropped, {allowed} at most were in flight": self.dropped > allowed,
            f"{self.orphans} processes were left over": self.orphans > 0,
        }
        return [text for text, is_fault in found.items() if is_fault]


def kill_under_load(bundle: Path, images: list[bytes], scratch: Path, kills: int, seed: int) -> Kills:
    """Start servers one after another until `kills` workers have been killed while they started."""
    rng, found = random.Random(seed), Kills()
    console = RunConsole()
    with console.bar("Killing workers", kills, unit="kills") as bar:
        while found.kills < kills:
            launch = Launch(bundle, scratch / f"server-{found.servers}", processes.free_ports(1)[0], WORKERS)
            server = start(DEMUR, launch, usable_cores())
            found.servers += 1
            try:
                with Clients(server.address, images, CLIENTS) as load:
                    found.tallies.append(load.tally)
                    time.sleep(0.5)
                    _kill_some(server, rng, min(PER_SERVER, kills - found.kills), found, bar.advance)
                    _await_successor(server, found)
            finally:
                found.orphans += server.stop().orphans
        bar.finish("Killed")
    return found


def _kill_some(server: RunningServer, rng: random.Random, times: int, found: Kills, advance: Advance) -> None:
    """Kill a worker, then its successors while they start; the other worker is left alone."""
    spared, *others = _workers(server)
    victim = others[0]
    for _ in range(times):
        os.kill(victim, signal.SIGKILL)
        found.log_size = server.log.stat().st_size
        found.kills += 1
        advance(1)
        try:
            victim = _successor(server, {spared, victim})
        except ServerFailed:
            return
        time.sleep(rng.uniform(0.0, 1.2 * server.start_seconds))
        found.survived += server.process.poll() is None and server.get("/livez")[0] == 200


def _workers(server: RunningServer) -> list[int]:
    return sorted(pid for pid in server.tree() if is_worker(pid))


def _successor(server: RunningServer, known: set[int]) -> int:
    """The worker that was started for the killed one. Raises ServerFailed."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up and server.process.poll() is None:
        for pid in _workers(server):
            if pid not in known:
                return pid
        time.sleep(0.005)
    raise ServerFailed(f"no worker was started for the killed one; {server.said()}")


def _await_successor(server: RunningServer, found: Kills) -> None:
    """Wait until the worker after the last kill serves, which it says in the log."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE and server.process.poll() is None:
        if b"service_started" in server.log.read_bytes()[found.log_size :]:
            found.recovered += 1
            found.whole_again.append(time.monotonic() - began)
            time.sleep(0.5)
            return
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    images = photographs(8, 720, 1280, 181_000)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        bundle = write_model_bundle("small", Path(folder), images, CACHE / "onnx")
        found = kill_under_load(bundle, images, Path(folder), given.kills, given.seed)
    rows = [
        ["kills of a worker that starts", str(found.kills)],
        ["kills after which the service answered", str(found.survived)],
        ["servers whose killed worker came back", f"{found.recovered} of {found.servers}"],
        ["predictions answered", f"{found.answered:,}"],
        ["accepted and dropped, per kill", f"{found.dropped / found.kills:.2f}"],
        ["refused", str(found.refused)],
        ["longest time between two answers, s", f"{found.longest_silence:.2f}"],
        [
            "from the last start to service, s",
            f"{max(found.whole_again, default=math.nan):.1f} at most",
        ],
        ["processes left over", str(found.orphans)],
    ]
    table = markdown(["what", "seen"], rows)
    print(table)
    recording.save(
        "worker-kills",
        "robustness",
        "Workers killed while they start",
        about=f"Two workers under {CLIENTS} clients: one gets SIGKILL, and so does each successor at a "
        "random moment of its start, while the other must go on answering. A kill may cost the requests "
        "that the killed worker was computing, and nothing else.",
        claims=[
            Claim(
                f"{found.kills} kills of a worker that starts: the service went on",
                f"after {found.survived}; {found.refused} requests refused, "
                f"{found.dropped / found.kills:.2f} dropped per kill",
                f"after all {found.kills}, 0 refused",
                not found.faults,
            )
        ],
        detail=table,
        raw="\n".join([table, *found.faults]),
    )
    if found.faults:
        sys.exit("; ".join(found.faults))


if __name__ == "__main__":
    main()
