"""How the parent changes the line-up of all workers as one: prepare everywhere, then commit everywhere.

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

from bundle.engines.contract import EngineError
from bundle.manifest import BundleError
from bundle.selection.local_certificate import carries_cases
from bundle.system.malloc import release_memory
from bundle.verify import read_manifest
from service.lineup.lineup import Deployments, LineupPlan
from service.settings import MOST_CHALLENGERS, ChallengerSettings

logger = structlog.get_logger("demur.control")

PREPARE_TIMEOUT = 120.0
"""Seconds for a worker to verify, open and try bundles."""
CERTIFY_TIMEOUT = 1800.0
"""The same where a bundle carries its calibration images, all of which may have to be scored first."""
COMMIT_TIMEOUT = 10.0
_LOOK_UP_EVERY = 1.0
"""Seconds after which whoever waits for a worker looks whether the service is to stop."""


What = Literal["prepare", "commit", "abort"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do."""

    number: int
    what: What
    plan: LineupPlan | None = None
    """For `prepare`."""
    anew: bool = False
    """For `prepare`: open the champion again, even if it serves already."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the order of this number."""

    number: int
    done: bool
    label: str
    """The champion that was prepared or answers now, `name:version`."""
    why: str | None = None
    """Where not done."""


class ChangeRefused(Exception):
    """The line-up cannot be served; the old one goes on. The message says why."""


def obey(orders: Connection, deployments: Deployments) -> None:
    """Carry out orders until the parent closes its end; for a thread of its own."""
    while True:
        try:
            order: Order = orders.recv()
        except (EOFError, OSError):
            return
        orders.send(_carry_out(order, deployments))
        if order.what != "prepare":
            # Afterwards, since nobody need wait for it.
            release_memory()


def _carry_out(order: Order, deployments: Deployments) -> Report:
    if order.what == "prepare" and order.plan is not None:
        try:
            prepared = deployments.prepare(order.plan, anew=order.anew)
            return Report(order.number, True, prepared.champion.label)
        except (BundleError, EngineError, OSError) as error:
            return Report(order.number, False, deployments.champion.label, str(error))
        except Exception as error:
            # Whatever it is, the old line-up goes on and the worker stays in reach.
            logger.exception("lineup_not_prepared", plan=str(order.plan))
            return Report(order.number, False, deployments.champion.label, f"{type(error).__name__}: {error}")
    if order.what == "commit":
        deployments.commit()
        logger.info("lineup_changed", shares=deployments.shares())
    else:
        deployments.abort()
    return Report(order.number, True, deployments.champion.label)


class Fleet:
    """The workers, as the admin sees them: one line-up, changed as one."""

    def __init__(self, plan: LineupPlan) -> None:
        self.plan = plan
        """What serves now; a worker that is started later opens it. Set with `staffing` held."""
        self.previous: Path | None = None
        """Folder of the champion before."""
        self.staffing = threading.Lock()
        """Held for a moment, while a worker is started or forgotten and while a change is committed: a
        worker that is started before is told of the change, and one after opens what came of it."""
        self.workers: dict[int, Connection] = {}
        self.stopping = False
        """Nothing is waited for any more."""
        self._changing = threading.Lock()
        """Held while the line-up changes, which may take minutes"""
        self._numbers = count(1)

    def activate(self, folder: Path) -> str:
        """Let the bundle in `folder` be the champion, everywhere or nowhere; its label.

        Raises ChangeRefused, with the old one still answering.
        """
        with self._changing:
            return self._activate(folder)

    def roll_back(self, champion: Path, previous: Path) -> str:
        """Let `previous` answer again instead of `champion`; its label.

        Both as whoever asks has seen them: of two who ask at the same time one rolls back, and the other
        is refused instead of undoing it. Raises ChangeRefused.
        """
        with self._changing:
            if (self.plan.champion, self.previous) != (champion, previous):
                raise ChangeRefused(
                    f"another change came first, and {self.plan.champion.name} answers since; ask again to "
                    "roll that back"
                )
            return self._activate(previous)

    def challenge(self, challenger: ChallengerSettings) -> None:
        """Put a challenger beside the champion, or give it another share; raises ChangeRefused."""
        with self._changing:
            places = {one.folder: one for one in self.plan.challengers}
            places[challenger.folder] = challenger
            if challenger.folder == self.plan.champion:
                raise ChangeRefused("it is the champion already")
            if len(places) > MOST_CHALLENGERS:
                raise ChangeRefused(f"at most {MOST_CHALLENGERS} challengers may serve at a time")
            total = sum(one.share or 0.0 for one in places.values())
            if total > 1 + 1e-9:
                raise ChangeRefused(f"the shares would be {total:g} in sum; they must be at most 1")
            self._change(LineupPlan(self.plan.champion, tuple(places.values())))

    def withdraw(self, folder: Path) -> None:
        """Take a challenger away; raises KeyError where it is none, or ChangeRefused."""
        with self._changing:
            rest = tuple(one for one in self.plan.challengers if one.folder != folder)
            if len(rest) == len(self.plan.challengers):
                raise KeyError(folder)
            self._change(LineupPlan(self.plan.champion, rest))

    def _activate(self, folder: Path) -> str:
        before = self.plan.champion
        label = self._change(LineupPlan(folder, self.plan.challengers), anew=True)
        if folder != before:
            # The same again, in answer to a lost reply for instance, leaves the way back as it was.
            self.previous = before
        return label

    def _change(self, plan: LineupPlan, *, anew: bool = False) -> str:
        """Let `plan` serve, everywhere or nowhere; the champion's label. With `_changing` held."""
        give_up = time.monotonic() + _longest_preparation(plan)
        told: list[Connection] = []
        reports: list[Report] = []
        while True:
            with self.staffing:
                untold = [worker for worker in self.workers.values() if worker not in told]
                if reports and not untold:
                    self._order(told, "commit", COMMIT_TIMEOUT)
                    self.plan = plan
                    return reports[0].label
            # All of them, or those that have replaced one that died meanwhile.
            reports += self._order(untold, "prepare", give_up - time.monotonic(), plan, anew=anew)
            told += untold
            refusal = next((report.why for report in reports if not report.done), None)
            if refusal is not None or not reports:
                self._order(told, "abort", COMMIT_TIMEOUT)
                raise ChangeRefused(refusal or "no worker is running")

    def _order(
        self,
        workers: Sequence[Connection],
        what: What,
        timeout: float,
        plan: LineupPlan | None = None,
        *,
        anew: bool = False,
    ) -> list[Report]:
        """What the workers report; one that has died reports nothing."""
        order = Order(next(self._numbers), what, plan, anew)
        sent = [worker for worker in workers if _send(worker, order)]
        give_up = time.monotonic() + timeout
        reports = (self._report(worker, order.number, give_up) for worker in sent)
        return [report for report in reports if report is not None]

    def _report(self, worker: Connection, number: int, give_up: float) -> Report | None:
        try:
            while not self.stopping and (left := give_up - time.monotonic()) > 0:
                if not worker.poll(min(left, _LOOK_UP_EVERY)):
                    continue
                report: Report = worker.recv()
                # An earlier one came too late to be waited for.
                if report.number == number:
                    return report
        except (EOFError, OSError):
            return None
        why = "the service is stopping" if self.stopping else "a worker did not answer in time"
        return Report(number, False, "", why)


def _send(worker: Connection, order: Order) -> bool:
    try:
        worker.send(order)
    except OSError:
        # It has just died; the one that replaces it opens what answers then.
        return False
    return True


def _longest_preparation(plan: LineupPlan) -> float:
    """Seconds that a worker may take to prepare `plan`."""
    folders = (plan.champion, *(one.folder for one in plan.challengers))
    return CERTIFY_TIMEOUT if any(map(_may_be_certified_here, folders)) else PREPARE_TIMEOUT


def _may_be_certified_here(folder: Path) -> bool:
    try:
        return carries_cases(read_manifest(folder))
    except (BundleError, OSError):
        return False  # The workers say what is wrong with it.
