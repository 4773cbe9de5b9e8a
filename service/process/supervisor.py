"""Supervisor: starts several workers on one port, restarts one that dies, and stops them together.

The parent computes nothing. It owns the port, the embedded Valkey and the folder in which the workers'
metrics add up. Workers are spawned, not forked, and cannot outlive their parent.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

import structlog

from bundle.verify import read_manifest
from monitoring.metrics.instruments import forget_worker, shared_metrics
from service.admin.port import admin_port
from service.errors import WorkersFailed
from service.http.quotas import Quotas
from service.lineup.fleet import Fleet, follow_orders
from service.lineup.lineup import Deployments, LineupPlan
from service.logs import configure_logging
from service.process.worker import run_worker
from service.settings import Settings

_READY: Final = "ready"
_MIN_PAUSE, _MAX_PAUSE = 0.2, 10.0
_GRACE = 5.0
"""Seconds beyond the workers' own limits after which they are killed."""

_spawn = multiprocessing.get_context("spawn")
logger = structlog.get_logger("demur.supervisor")


def supervise(settings: Settings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Run `settings.workers` workers until SIGTERM or SIGINT; `on_ready` once all of them answer.

    Raises BundleError if the bundle cannot be read, and WorkersFailed if a worker ends before it answers;
    its log says why.
    """
    with shared_metrics():
        _Supervisor(settings, listener, on_ready).run()


@dataclass(slots=True)
class _Worker:
    number: int
    process: SpawnProcess
    reports: Connection
    orders: Connection
    ready: bool = False
    began: float = field(default_factory=time.monotonic)


class _Supervisor:
    def __init__(self, settings: Settings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        # A worker that starts later must count in the same windows, whichever bundle it loads.
        name = settings.model or read_manifest(settings.bundle).name
        self._settings = settings.model_copy(update={"model": name})
        self._listener = listener
        self._quotas = Quotas.of(settings)
        self._on_ready: Callable[[], None] | None = on_ready
        self._workers: dict[int, _Worker] = {}
        self._restart_at: dict[int, float] = {}
        self._pauses: dict[int, float] = {}
        self._fleet = Fleet(
            LineupPlan(
                settings.bundle.resolve(),
                tuple(
                    one.model_copy(update={"folder": one.folder.resolve()}) for one in settings.challengers
                ),
            )
        )
        self._stopping = False

    def run(self) -> None:
        with self._signals() as woken, admin_port(self._settings, self._fleet):
            try:
                for number in range(self._settings.workers):
                    self._start(number)
                while not self._stopping:
                    self._watch(woken)
            finally:
                self._stop()

    def _start(self, number: int) -> None:
        with self._fleet.membership:
            plan = self._fleet.plan
            settings = self._settings.model_copy(
                update={"bundle": plan.champion, "challengers": plan.challengers}
            )
            reports, their_reports = _spawn.Pipe(duplex=False)
            orders, their_orders = _spawn.Pipe()
            process = _spawn.Process(
                target=_work,
                args=(os.getpid(), settings, self._listener, self._quotas, their_reports, their_orders),
                name=f"worker-{number}",
            )
            process.start()
            their_reports.close()
            their_orders.close()
            self._workers[number] = _Worker(number, process, reports, orders)
            self._fleet.workers[number] = orders

    def _watch(self, woken: socket.socket) -> None:
        """Wait until a worker reports or ends, a signal arrives, or a restart is due."""
        now = time.monotonic()
        for number in [number for number, due in self._restart_at.items() if due <= now]:
            del self._restart_at[number]
            self._start(number)
        due = min(self._restart_at.values(), default=None)
        by_handle: dict[object, _Worker] = {
            worker.process.sentinel: worker for worker in self._workers.values()
        }
        by_handle.update((worker.reports, worker) for worker in self._workers.values() if not worker.ready)
        for handle in wait([woken, *by_handle], None if due is None else max(0.0, due - now)):  # type: ignore[list-item]
            worker = by_handle.get(handle)
            if worker is None:
                continue
            if handle is worker.reports and _reads_ready(worker.reports):
                worker.ready = True
            elif worker.process.exitcode is not None:
                self._on_end(worker)
        if self._on_ready is not None and all(worker.ready for worker in self._workers.values()):
            self._on_ready()
            self._on_ready = None

    def _on_end(self, worker: _Worker) -> None:
        self._forget(worker)
        if self._stopping:
            return
        code = worker.process.exitcode
        if self._on_ready is not None:
            raise WorkersFailed(
                f"worker {worker.number} ended with {code} before it was ready; its log says why"
            )
        lasted = time.monotonic() - worker.began
        pause = self._pauses.get(worker.number, _MIN_PAUSE)
        pause = _MIN_PAUSE if lasted > 60 else min(2 * pause, _MAX_PAUSE)
        self._pauses[worker.number] = pause
        self._restart_at[worker.number] = time.monotonic() + pause
        logger.error("worker_died", worker=worker.number, exit_code=code, restart_in=pause)

    def _forget(self, worker: _Worker) -> None:
        pid = worker.process.pid
        assert pid is not None  # noqa: S101 - it was started
        with self._fleet.membership:
            del self._workers[worker.number]
            # Its connection closes by itself: a change may be waiting for its report.
            del self._fleet.workers[worker.number]
        worker.reports.close()
        forget_worker(pid)

    def _stop(self) -> None:
        # An open copy in the parent would still take connections that no worker accepts any more.
        self._listener.close()
        for worker in self._workers.values():
            worker.process.terminate()
        limit = self._settings.drain + 2 * self._settings.stop_timeout + _GRACE
        due = time.monotonic() + limit
        for worker in list(self._workers.values()):
            worker.process.join(max(0.0, due - time.monotonic()))
            if worker.process.exitcode is None:
                logger.error("worker_killed", worker=worker.number, after=limit)
                worker.process.kill()
                worker.process.join()
            self._forget(worker)

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Socket that becomes readable on SIGTERM or SIGINT."""
        woken, wake = socket.socketpair()

        def stop(number: int, frame: FrameType | None) -> None:
            self._stopping = self._fleet.stopping = True
            wake.send(b"x")

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with woken, wake:
                yield woken
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _work(
    parent: int,
    settings: Settings,
    listener: socket.socket,
    quotas: Quotas | None,
    reports: Connection,
    orders: Connection,
) -> None:
    """Main function of a worker."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)
    configure_logging(settings.log_level)
    try:
        deployments = Deployments.open(settings)
        threading.Thread(target=follow_orders, args=(orders, deployments), name="fleet", daemon=True).start()
        run_worker(settings, deployments, listener, lambda: reports.send(_READY), quotas)
    except Exception:
        logger.exception("worker_failed")
        sys.exit(1)


def _reads_ready(reports: Connection) -> bool:
    try:
        return bool(reports.recv() == _READY)
    except EOFError:
        return False
