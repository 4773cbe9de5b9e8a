"""How the parent changes the bundle of all workers as one: prepare everywhere, then commit everywhere.

Worker side: `obey` answers orders on a thread. Parent side: `Fleet` gives them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import structlog

from bundle.engine import EngineError
from bundle.manifest import BundleError
from service.deployment import Deployments

logger = structlog.get_logger("demur.control")

PREPARE_TIMEOUT = 120.0
"""Seconds for a worker to verify, open and try a bundle."""
COMMIT_TIMEOUT = 10.0


What = Literal["prepare", "commit", "abort"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do."""

    number: int
    what: What
    folder: Path | None = None
    """For `prepare`."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the order of this number."""

    number: int
    done: bool
    label: str
    """The bundle that was prepared or answers now, `name:version`."""
    why: str | None = None
    """Where not done."""


class ChangeRefused(Exception):
    """The bundle cannot be served; the old one goes on. The message says why."""


def obey(orders: Connection, deployments: Deployments) -> None:
    """Carry out orders until the parent closes its end; for a thread of its own."""
    while True:
        try:
            order: Order = orders.recv()
        except (EOFError, OSError):
            return
        orders.send(_carry_out(order, deployments))


def _carry_out(order: Order, deployments: Deployments) -> Report:
    if order.what == "prepare" and order.folder is not None:
        try:
            return Report(order.number, True, deployments.prepare(order.folder).label)
        except (BundleError, EngineError, OSError) as error:
            return Report(order.number, False, deployments.champion.label, str(error))
        except Exception as error:
            # Whatever it is, the old bundle goes on and the worker stays in reach.
            logger.exception("bundle_not_prepared", folder=str(order.folder))
            return Report(order.number, False, deployments.champion.label, f"{type(error).__name__}: {error}")
    if order.what == "commit":
        deployments.commit()
        logger.info("bundle_activated", bundle=deployments.champion.label)
    else:
        deployments.abort()
    return Report(order.number, True, deployments.champion.label)


class Fleet:
    """The workers, as the admin sees them: one bundle, changed as one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Of the bundle that answers now; a worker that is started later opens it."""
        self.previous: Path | None = None
        """Of the bundle before it."""
        self.changing = threading.Lock()
        """Held while the bundle changes; no worker is started or forgotten meanwhile."""
        self.workers: dict[int, Connection] = {}
        self._numbers = count(1)

    def activate(self, folder: Path) -> str:
        """Let the bundle in `folder` answer, everywhere or nowhere; its label.

        Raises ChangeRefused, with the old bundle still answering.
        """
        with self.changing:
            workers = list(self.workers.values())
            reports = self._order(workers, "prepare", PREPARE_TIMEOUT, folder)
            refusal = next((report.why for report in reports if not report.done), None)
            if refusal is not None or not reports:
                self._order(workers, "abort", COMMIT_TIMEOUT)
                raise ChangeRefused(refusal or "no worker is running")
            self._order(workers, "commit", COMMIT_TIMEOUT)
            self.previous, self.folder = self.folder, folder
            return reports[0].label

    def _order(
        self, workers: Sequence[Connection], what: What, timeout: float, folder: Path | None = None
    ) -> list[Report]:
        """What the workers report; one that has died reports nothing."""
        order = Order(next(self._numbers), what, folder)
        sent = [worker for worker in workers if _send(worker, order)]
        give_up = time.monotonic() + timeout
        reports = (_report(worker, order.number, give_up) for worker in sent)
        return [report for report in reports if report is not None]


def _send(worker: Connection, order: Order) -> bool:
    try:
        worker.send(order)
    except OSError:
        # It has just died; the one that replaces it opens what answers then.
        return False
    return True


def _report(worker: Connection, number: int, give_up: float) -> Report | None:
    try:
        while worker.poll(max(0.0, give_up - time.monotonic())):
            report: Report = worker.recv()
            # An earlier one came too late to be waited for.
            if report.number == number:
                return report
    except (EOFError, OSError):
        return None
    return Report(number, False, "", "a worker did not answer in time")
