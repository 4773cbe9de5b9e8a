"""Worker process as its parent starts and sees it: the process, and the connections to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

import structlog

from bundle.system.parent import end_with_parent
from service.compute.overruns import SharedCount, Supervision
from service.following.state import SharedFleetState
from service.http.quotas import Quotas
from service.lineup.lineup import Deployments, LineupPlan
from service.lineup.orders import follow_orders
from service.logs.setup import configure_logging
from service.process.serving import ServedBundle
from service.process.worker import run_worker
from service.settings import Settings

_spawn = multiprocessing.get_context("spawn")
_keys = count()
logger = structlog.get_logger("demur.supervisor")


@dataclass(frozen=True, slots=True)
class Ready:
    """Report of a worker: it answers."""

    bundle: ServedBundle


@dataclass(frozen=True, slots=True)
class Overrun:
    """Report of a worker: one of its threads computes without end."""

    bundle: str
    """Label of the bundle that it computes."""


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """Report of a worker: a bundle is suspended, and the one before it should return."""

    bundle: str
    """Its label"""


WorkerReport = Ready | Overrun | BrokenPromise


@dataclass(frozen=True, slots=True)
class SharedState:
    """What all workers of a service share."""

    listener: socket.socket
    quotas: Quotas | None
    replacing: SharedCount = field(default_factory=SharedCount)
    """Number of workers that are being replaced."""
    fleet: SharedFleetState | None = None
    """What the parent knows of the fleet that it follows; None: it follows none"""


@dataclass(slots=True)
class WorkerProcess:
    """A started worker."""

    number: int
    """Its place among the workers; one that replaces it has the same."""
    process: SpawnProcess
    reports: Connection
    orders: Connection
    key: int = field(default_factory=lambda: next(_keys))
    """Different for every process."""
    serves: ServedBundle | None = None
    """The bundle that it had when it began to answer; None: it does not answer yet."""
    began: float = field(default_factory=time.monotonic)
    kill_at: float | None = None
    """Time after which a worker that was told to end is killed."""

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self.serves is not None

    @classmethod
    def start(
        cls,
        number: int,
        settings: Settings,
        shared: SharedState,
        plan: LineupPlan,
    ) -> WorkerProcess:
        """A worker of the line-up `plan`. Raises OSError if the system has no process or pipe left, or if the
        new process is killed before it has read its arguments."""
        reports, their_reports = _spawn.Pipe(duplex=False)
        orders, their_orders = _spawn.Pipe()
        process = _spawn.Process(
            target=_work,
            args=(os.getpid(), settings, shared, their_reports, their_orders, plan),
            name=f"worker-{number}",
        )
        with their_reports, their_orders:
            try:
                process.start()
            except OSError:
                reports.close()
                orders.close()
                raise
        return cls(number, process, reports, orders)

    def report(self) -> WorkerReport | None:
        """The report that waits; None if the worker has closed its end. Then no more can come."""
        try:
            report: WorkerReport = self.reports.recv()
        except (EOFError, OSError):
            self.reports.close()
            return None
        return report

    def end(self, number: signal.Signals, grace: float) -> None:
        """Send a signal that ends the worker; it is killed if it takes more than `grace` seconds."""
        self.kill_at = time.monotonic() + grace
        if self.process.pid is not None and self.process.exitcode is None:
            os.kill(self.process.pid, number)


class _Reports:
    """Reports of a worker to its parent, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock: Final = threading.Lock()

    def send(self, report: WorkerReport) -> None:
        try:
            with self._lock:
                self._connection.send(report)
        except OSError:
            # The parent has gone, which ends this process as well.
            return


def _work(
    parent: int,
    settings: Settings,
    shared: SharedState,
    reports: Connection,
    orders: Connection,
    plan: LineupPlan,
) -> None:
    """Main function of a worker."""
    end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
    configure_logging(settings.log_options())
    to_parent = _Reports(reports)
    supervision = Supervision(
        lambda bundle: to_parent.send(Overrun(bundle)),
        shared.replacing,
        lambda bundle: to_parent.send(BrokenPromise(bundle)),
    )
    try:
        settings = settings.model_copy(update={"bundle": plan.champion, "challengers": plan.challengers})
        deployments = Deployments.open(settings, plan.experiment, plan.kept)
        bundle = ServedBundle.of(deployments.champion)
        threading.Thread(target=follow_orders, args=(orders, deployments), name="fleet", daemon=True).start()
        run_worker(
            settings,
            deployments,
            shared.listener,
            lambda: to_parent.send(Ready(bundle)),
            shared.quotas,
            supervision,
            shared.fleet,
        )
    except Exception:
        logger.exception("worker_failed")
        sys.exit(1)
