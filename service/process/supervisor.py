"""Supervisor: starts several workers on one port, replaces those that die or hang, and stops them together.

The parent computes nothing. It owns the port, the embedded Valkey and the folder in which the workers'
metrics add up. Workers are spawned, not forked, and cannot outlive their parent.

A worker that has lost a thread to a computation without end goes on answering until its successor is ready;
then it leaves. A worker that dies is started again after a pause.
"""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, Final

import structlog

from bundle.verify import read_manifest
from monitoring.experiments.folder import ExperimentFolder
from monitoring.metrics.experiment_instruments import ExperimentInstruments
from monitoring.metrics.instruments import SupervisorInstruments
from monitoring.metrics.worker_files import WorkerFiles, shared_metrics
from service.admin.port import admin_port
from service.admin.promoter import MakePromoter
from service.errors import WorkersFailed
from service.following.following import followed
from service.following.opening import OpenedFleet
from service.following.state import SharedFleetState
from service.http.quotas import Quotas
from service.lineup.experiment_watch import experiment_watch
from service.lineup.experiments import Experiments
from service.lineup.fleet import Fleet
from service.lineup.promises import Exchange, note_activation, promise_archive
from service.lineup.restart import counts_events, plan_at_start
from service.lineup.trial import preparation_limit, try_bundle
from service.lineup.withdrawals import Withdrawals
from service.process.listener import allow_new_clients
from service.process.serving import ServedBundle, url_of
from service.process.worker import LEAVE
from service.process.worker_process import BrokenPromise, Overrun, Ready, SharedState, WorkerProcess
from service.settings import Settings
from service.window_client import log_folder

_MIN_PAUSE, _MAX_PAUSE = 0.2, 10.0
_MAX_FAILED_STARTS: Final = 3
_OFTEN: Final = 3
"""Overruns of one bundle after which the log says that the bundle is at fault."""
_GRACE = 5.0
"""Seconds beyond the workers' own limits after which they are killed."""

logger = structlog.get_logger("demur.supervisor")


OnReady = Callable[[ServedBundle, str | None], None]
"""Called with the bundle and the address of the private port, if there is one"""


def supervise(
    settings: Settings,
    listener: socket.socket,
    on_ready: OnReady,
    opened: OpenedFleet | None = None,
    promoter: MakePromoter | None = None,
) -> None:
    """Run `settings.workers` workers until SIGTERM or SIGINT; `on_ready` once all of them answer.

    `opened`: the fleet that is followed, whose settings these are; None: none is. `promoter`: makes what
    starts promotions of it. Raises BundleError if the
    bundle cannot be read, and WorkersFailed if a worker ends before it answers; its log says why.
    """
    with shared_metrics() as files:
        _Supervisor(settings, listener, on_ready, files, opened, promoter).run()


class _Supervisor:
    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        on_ready: OnReady,
        files: WorkerFiles,
        opened: OpenedFleet | None,
        promoter: MakePromoter | None,
    ) -> None:
        # The parent refuses what its signature refuses, in one sentence instead of a log line per worker.
        manifest = read_manifest(settings.bundle, settings.trust())
        # A worker that starts later must count in the same windows, whichever bundle it loads.
        name = settings.model or manifest.name
        self._settings = settings.model_copy(update={"model": name})
        shown = None if opened is None else SharedFleetState()
        self._shared = SharedState(listener, Quotas.of(settings), fleet=shown)
        self._on_ready: OnReady | None = on_ready
        self._files = files
        self._lost = SupervisorInstruments().workers_lost
        self._admin_url: str | None = None
        self._workers: dict[int, WorkerProcess] = {}
        """By number"""
        self._leaving: list[WorkerProcess] = []
        """Workers whose successors start or serve"""
        self._overruns: Counter[str] = Counter()
        """By label of the bundle"""
        self._restart_at: dict[int, float] = {}
        self._pauses: dict[int, float] = {}
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._overdue: list[Connection] = []
        """Workers to replace; other threads add to it."""
        self._archive = promise_archive(self._settings, name)
        plan, experiment = plan_at_start(self._settings) if opened is None else opened.lineup()
        trial = partial(try_bundle, self._settings)
        self._fleet = Fleet(
            plan,
            trial=trial,
            limit=partial(preparation_limit, self._settings),
            replace=self._replace,
            activated=lambda label: note_activation(self._archive, label),
        )
        self._following = followed(opened, self._settings, shown, self._fleet, trial)
        folder = ExperimentFolder(settings.data_dir) if counts_events(settings) else None
        self._experiments = Experiments(
            *(self._fleet, folder, settings.bundle.resolve(), experiment),
            record=None if self._following is None else self._following.record,
        )
        logs = log_folder(self._settings, name)
        instruments = ExperimentInstruments()
        self._watch_experiment = experiment_watch(
            *(self._settings, [logs] if logs else [], self._experiments, instruments),
            lambda: self._fleet.stopping,
            fleet=None if opened is None else opened.name,
        )
        self._exchange = Exchange(
            *(self._fleet, self._archive, self._experiments),
            Withdrawals(self._experiments, instruments, lambda: self._fleet.stopping),
            rolls_back=settings.on_broken_promise == "previous",
        )
        self._make_promoter = promoter
        self._failed_starts = 0
        """Workers that have ended before the service was ready."""
        self._stopping = False

    def run(self) -> None:
        port = admin_port(
            *(self._settings, self._fleet, self._archive, self._experiments),
            url_of(self._shared.listener),
            None if self._following is None else self._following.view,
            self._make_promoter,
        )
        with self._woken, self._wake, self._signals(), port as admin:
            self._admin_url = None if admin is None else url_of(admin)
            try:
                for number in range(self._settings.workers):
                    self._start(number)
                self._watch_experiment.start()
                while not self._stopping:
                    self._watch()
            finally:
                if self._following is not None:
                    self._following.close()
                self._stop()
                self._watch_experiment.close()

    def _start(self, number: int) -> None:
        """Start a worker. Raises OSError as `WorkerProcess.start` does."""
        with self._fleet.membership:
            worker = WorkerProcess.start(number, self._settings, self._shared, self._fleet.plan)
            self._workers[number] = worker
            self._fleet.workers[worker.key] = worker.orders

    def _restart(self, number: int) -> None:
        """Start a worker again, now or, if the system refuses, after a pause."""
        self._restart_at.pop(number, None)
        try:
            self._start(number)
        except OSError as error:
            pause = self._next_pause(number, 0.0)
            logger.error("worker_not_started", worker=number, error=str(error), retry_in=pause)

    def _watch(self) -> None:
        """Wait until a worker reports or ends, a signal arrives, or a restart or a kill is due."""
        now = time.monotonic()
        for number in [number for number, due in self._restart_at.items() if due <= now]:
            self._restart(number)
        workers = (*self._workers.values(), *self._leaving)
        for worker in workers:
            if worker.kill_at is not None and worker.kill_at <= now:
                worker.process.kill()
                worker.kill_at = None
        handles: list[Any] = [self._woken, *(worker.process.sentinel for worker in workers)]
        handles += [worker.reports for worker in workers if not worker.reports.closed]
        due = [*self._restart_at.values(), *(one.kill_at for one in workers if one.kill_at is not None)]
        readable = set(wait(handles, max(0.0, min(due) - now) if due else None))
        if self._woken in readable:
            self._woken.recv(4096)
            self._begin_replacements()
        for worker in workers:
            if worker.reports in readable:
                self._on_report(worker)
            # A worker that is killed closes its reports as well: it has both handles in the same round.
            if worker.process.sentinel in readable and worker.process.exitcode is not None:
                self._on_end(worker)
        serving = [one.serves for one in self._workers.values() if one.serves is not None]
        if self._on_ready is not None and len(serving) == self._settings.workers:
            self._on_ready(serving[0], self._admin_url)
            self._on_ready = None
            if self._following is not None:
                self._following.start(self._experiments.adopt, self._admin_url)

    def _on_report(self, worker: WorkerProcess) -> None:
        report = worker.report()
        if isinstance(report, Ready):
            worker.serves = report.bundle
            for leaving in self._leaving:
                if leaving.number == worker.number and leaving.kill_at is None:
                    leaving.end(LEAVE, self._longest_stop())
        elif isinstance(report, Overrun):
            self._on_overrun(worker, report.bundle)
        elif isinstance(report, BrokenPromise):
            self._exchange.begin(report.bundle)

    def _on_overrun(self, worker: WorkerProcess, bundle: str) -> None:
        """Start a successor of a worker that has lost a thread."""
        name, _, version = bundle.rpartition(":")
        self._overruns[bundle] += 1
        if self._overruns[bundle] >= _OFTEN:
            logger.error(
                "bundle_overruns",
                bundle=name,
                version=version,
                times=self._overruns[bundle],
                note="its model computes without end on some images again and again, and each time a worker "
                "is replaced; roll it back, or activate another bundle",
            )
        if self._workers.get(worker.number) is not worker or worker.kill_at is not None:
            return  # It is being replaced already.
        logger.error(
            "worker_replaced", worker=worker.number, bundle=name, version=version, why="compute_overrun"
        )
        self._lost.labels("compute_overrun").inc()
        del self._workers[worker.number]
        self._leaving.append(worker)
        self._shared.replacing.value = len(self._leaving)
        self._restart(worker.number)

    def _replace(self, orders: Connection) -> None:
        """End the worker with this connection; called by any thread."""
        self._overdue.append(orders)
        self._wake_up()

    def _begin_replacements(self) -> None:
        while self._overdue:
            orders = self._overdue.pop()
            for worker in self._workers.values():
                if worker.orders is orders and worker.kill_at is None:
                    logger.error("worker_replaced", worker=worker.number, why="order_overdue")
                    worker.end(LEAVE if worker.ready else signal.SIGTERM, self._longest_stop())

    def _wake_up(self) -> None:
        with suppress(OSError):  # Enough wake-ups are waiting, or the service has stopped.
            self._wake.send(b"x")

    def _longest_stop(self) -> float:
        return self._settings.drain + 2 * self._settings.stop_timeout + _GRACE

    def _next_pause(self, number: int, lasted: float) -> float:
        """Seconds until the next start of a worker that lasted so long; schedules it."""
        pause = self._pauses.get(number, _MIN_PAUSE)
        pause = _MIN_PAUSE if lasted > 60 else min(2 * pause, _MAX_PAUSE)
        self._pauses[number] = pause
        self._restart_at[number] = time.monotonic() + pause
        return pause

    def _on_end(self, worker: WorkerProcess) -> None:
        has_successor = worker in self._leaving
        self._forget(worker)
        if self._stopping:
            return
        # A worker that was stopped on its own has kept new clients from the socket that all share.
        allow_new_clients(self._shared.listener)
        code = worker.process.exitcode
        if has_successor:
            logger.info("worker_left", worker=worker.number, exit_code=code)
            return
        if self._on_ready is not None and not worker.ready:
            self._failed_starts += 1
            # A worker that a signal has killed may do better; one that exits by itself would do so again.
            if code is None or code >= 0 or self._failed_starts >= _MAX_FAILED_STARTS:
                raise WorkersFailed(
                    f"worker {worker.number} ended with {code} before it was ready; its log says why"
                )
        pause = self._next_pause(worker.number, time.monotonic() - worker.began)
        self._lost.labels("died").inc()
        logger.error("worker_died", worker=worker.number, exit_code=code, restart_in=pause)

    def _forget(self, worker: WorkerProcess) -> None:
        pid = worker.process.pid
        assert pid is not None  # noqa: S101 - it was started
        with self._fleet.membership:
            if worker in self._leaving:
                self._leaving.remove(worker)
                self._shared.replacing.value = len(self._leaving)
            else:
                del self._workers[worker.number]
            # Its connection closes by itself: a change may be waiting for its report.
            del self._fleet.workers[worker.key]
        worker.reports.close()
        self._files.forget(pid)

    def _stop(self) -> None:
        # An open copy in the parent would still take connections that no worker accepts any more.
        self._shared.listener.close()
        workers = [*self._workers.values(), *self._leaving]
        for worker in workers:
            worker.process.terminate()
        limit = self._longest_stop()
        due = time.monotonic() + limit
        for worker in workers:
            worker.process.join(max(0.0, due - time.monotonic()))
            if worker.process.exitcode is None:
                logger.error("worker_killed", worker=worker.number, after=limit)
                worker.process.kill()
                worker.process.join()
            self._forget(worker)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Wake up and stop on SIGTERM or SIGINT."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._stopping = self._fleet.stopping = True
            self._wake_up()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
