"""Processes that a profile measures: plain loops over the models, and the real service."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from urllib.parse import urlsplit

from bundle.engines.contract import EngineKey
from bundle.loader import load_bundle
from bundle.policy import CertificateEntry
from bundle.selection.choice import EngineChoice
from bundle.system.malloc import IMAGE_BYTES, keep_freed_memory
from demur.errors import InterfaceError
from service.settings import Settings

_SPAWN = get_context("spawn")
_START_TIMEOUT = 120.0
_STOP_TIMEOUT = 30.0
_MEGABYTE = 1e6


class ProfileFailed(InterfaceError, RuntimeError):
    """A measured process did not do its part."""


class RawLoops:
    """Processes of one thread each that go from bytes to decisions and do nothing else."""

    def __init__(self, workers: Sequence[Connection]) -> None:
        self._workers = workers
        self.resident = 0.0
        """Resident megabytes of one process after the last run"""

    def run(self, seconds: float) -> tuple[float, float]:
        """Run all of them for `seconds`; (images per second in total, CPU milliseconds per image)."""
        for worker in self._workers:
            worker.send(seconds)
        reports = [_receive(worker, seconds + _START_TIMEOUT) for worker in self._workers]
        self.resident = reports[0][3]
        images = sum(report[0] for report in reports)
        return sum(report[0] / report[1] for report in reports), 1e3 * sum(r[2] for r in reports) / images


@contextmanager
def raw_loops(
    settings: Settings, choice: EngineChoice, images: Sequence[bytes], processes: int
) -> Iterator[RawLoops]:
    """Loops over `images` with the bundle of `settings`, on the engine of `choice`."""
    with ExitStack() as stack:
        ends = []
        for _ in range(processes):
            ours, theirs = _SPAWN.Pipe()
            child = _SPAWN.Process(
                target=_loop,
                args=(settings.bundle, choice.key, choice.issued_here, images, theirs),
                daemon=True,
            )
            child.start()
            theirs.close()
            stack.callback(child.join, _STOP_TIMEOUT)
            stack.callback(ours.close)
            ends.append(ours)
        for end in ends:
            _receive(end, _START_TIMEOUT)
        yield RawLoops(ends)


def _loop(
    bundle: Path,
    key: EngineKey,
    issued_here: CertificateEntry | None,
    images: Sequence[bytes],
    orders: Connection,
) -> None:
    keep_freed_memory(IMAGE_BYTES)
    runner = load_bundle(bundle, key=key, threads=1, issued_here=issued_here).runner
    for image in images[:8]:
        runner.decide([image])
    orders.send("ready")
    turn = 0
    while True:
        try:
            seconds: float = orders.recv()
        except EOFError:
            return
        began, cpu, first = perf_counter(), process_time(), turn
        while perf_counter() < began + seconds:
            runner.decide([images[turn % len(images)]])
            turn += 1
        spent = process_time() - cpu
        orders.send((turn - first, perf_counter() - began, spent, resident(os.getpid()) or 0.0))


class RunningService:
    """Service process that listens at `address` (host, port)."""

    def __init__(self, address: tuple[str, int], pid: int) -> None:
        self.address = address
        self._pid = pid

    def cpu_seconds(self) -> float | None:
        """CPU seconds of the workers so far, without the store; None without /proc."""
        spent = [_cpu_seconds(pid) for pid in self._workers()]
        return None if not spent or None in spent else sum(filter(None, spent))

    def resident(self) -> tuple[float, ...]:
        """Resident megabytes of each worker."""
        return tuple(size for pid in self._workers() if (size := resident(pid)) is not None)

    def _workers(self) -> list[int]:
        """Process ids of the workers, or of the service itself if it has none."""
        below = [pid for pid in _children(self._pid) if _is_worker(pid)]
        return below or [self._pid]


@contextmanager
def running_service(settings: Settings, log: Path) -> Iterator[RunningService]:
    """Start the real service in a process of its own; its log goes to the file `log`."""
    ours, theirs = _SPAWN.Pipe()
    # Not daemonic: the service starts processes itself.
    child = _SPAWN.Process(target=_serve, args=(settings, log, theirs))
    child.start()
    theirs.close()
    try:
        parts = urlsplit(_receive(ours, _START_TIMEOUT, f"the service did not start; see {log}"))
        assert child.pid is not None  # noqa: S101 - it was started
        yield RunningService((parts.hostname or settings.host, parts.port or settings.port), child.pid)
    finally:
        child.terminate()
        child.join(_STOP_TIMEOUT)
        if child.is_alive():
            child.kill()
        ours.close()


def _serve(settings: Settings, log: Path, ready: Connection) -> None:
    from service.process.server import serve

    with log.open("wb") as stream:
        sys.stderr.flush()
        os.dup2(stream.fileno(), 2)
    serve(settings, lambda serving: ready.send(serving.url))


def _receive(end: Connection, timeout: float, why: str = "a plain loop did not answer") -> Any:
    try:
        if end.poll(timeout):
            return end.recv()
    except EOFError:
        pass
    raise ProfileFailed(why)


def resident(pid: int) -> float | None:
    """Resident megabytes of a process; None without /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE


def _cpu_seconds(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_worker(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"spawn_main" in command
