"""Fleet: the parent changes the line-up of all workers as one. Prepare everywhere, then commit everywhere.

In a worker, `follow_orders` carries out orders on a thread. In the parent, `Fleet` sends them.
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
from service.errors import ChangeRefused
from service.lineup.lineup import Deployments, LineupPlan
from service.settings import MAX_CHALLENGERS, ChallengerSettings

logger = structlog.get_logger("demur.fleet")

PREPARE_TIMEOUT = 120.0
"""Seconds for a worker to verify and load bundles and to try their golden cases."""
CERTIFY_TIMEOUT = 1800.0
"""The same if a bundle carries its calibration images, all of which may have to be scored first."""
COMMIT_TIMEOUT = 10.0
_STOP_CHECK = 1.0
"""Seconds between two checks, while a report is awaited, whether the service is stopping."""


Action = Literal["prepare", "commit", "abort"]


@dataclass(frozen=True, slots=True)
class Order:
    """A message from the parent to a worker."""

    number: int
    action: Action
    plan: LineupPlan | None = None
    """For `prepare`."""
    reopen: bool = False
    """For `prepare`: load the champion again, even if it serves already."""


@dataclass(frozen=True, slots=True)
class Report:
    """The reply of a worker to the order of this number."""

    number: int
    done: bool
    label: str
    """The champion that is prepared or serves now, `name:version`."""
    why: str | None = None
    """The reason, if not done."""


def follow_orders(orders: Connection, deployments: Deployments) -> None:
    """Carry out orders until the parent closes its end; for a thread of its own."""
    while True:
        try:
            order: Order = orders.recv()
        except (EOFError, OSError):
            return
        orders.send(_carry_out(order, deployments))
        if order.action != "prepare":
            # After the report, which must not wait for it.
            release_memory()


def _carry_out(order: Order, deployments: Deployments) -> Report:
    if order.action == "prepare" and order.plan is not None:
        try:
            prepared = deployments.prepare(order.plan, reopen=order.reopen)
            return Report(order.number, True, prepared.champion.label)
        except (BundleError, EngineError, OSError) as error:
            return Report(order.number, False, deployments.champion.label, str(error))
        except Exception as error:
            # The old line-up goes on, and the worker stays able to take orders.
            logger.exception("lineup_not_prepared", plan=str(order.plan))
            return Report(order.number, False, deployments.champion.label, f"{type(error).__name__}: {error}")
    if order.action == "commit":
        deployments.commit()
        logger.info("lineup_changed", shares=deployments.shares())
    else:
        deployments.abort()
    return Report(order.number, True, deployments.champion.label)


class Fleet:
    """The workers as the admin port sees them: one line-up, changed as one."""

    def __init__(self, plan: LineupPlan) -> None:
        self.plan = plan
        """The line-up that serves; a worker that starts later loads it. Set with `membership` held."""
        self.previous: Path | None = None
        """Folder of the champion before."""
        self.membership = threading.Lock()
        """Held briefly, while a worker is added or removed and while a change is committed: a worker that was
        added before takes part in the change, and one that is added after loads its result."""
        self.workers: dict[int, Connection] = {}
        self.stopping = False
        """Ends every wait."""
        self._changing = threading.Lock()
        """Held while the line-up changes, which may take minutes"""
        self._numbers = count(1)

    def activate(self, folder: Path) -> str:
        """Make the bundle in `folder` the champion of all workers or of none. Returns its label.

        Raises ChangeRefused; the old champion goes on answering then.
        """
        with self._changing:
            return self._activate(folder)

    def roll_back(self, champion: Path, previous: Path) -> str:
        """Make `previous` the champion again instead of `champion`. Returns its label.

        Both as the caller has seen them: of two concurrent calls one rolls back, and the other is refused
        instead of undoing it. Raises ChangeRefused.
        """
        with self._changing:
            if (self.plan.champion, self.previous) != (champion, previous):
                raise ChangeRefused(
                    f"another change came first, and {self.plan.champion.name} answers since; ask again to "
                    "roll that back"
                )
            return self._activate(previous)

    def challenge(self, challenger: ChallengerSettings) -> None:
        """Put a challenger beside the champion, or change its share. Raises ChangeRefused."""
        with self._changing:
            by_folder = {one.folder: one for one in self.plan.challengers}
            by_folder[challenger.folder] = challenger
            if challenger.folder == self.plan.champion:
                raise ChangeRefused("it is the champion already")
            if len(by_folder) > MAX_CHALLENGERS:
                raise ChangeRefused(f"at most {MAX_CHALLENGERS} challengers may serve at a time")
            total = sum(one.share or 0.0 for one in by_folder.values())
            if total > 1 + 1e-9:
                raise ChangeRefused(f"the shares would be {total:g} in sum; they must be at most 1")
            self._change(LineupPlan(self.plan.champion, tuple(by_folder.values())))

    def withdraw(self, folder: Path) -> None:
        """Remove a challenger. Raises KeyError if it is none, or ChangeRefused."""
        with self._changing:
            rest = tuple(one for one in self.plan.challengers if one.folder != folder)
            if len(rest) == len(self.plan.challengers):
                raise KeyError(folder)
            self._change(LineupPlan(self.plan.champion, rest))

    def _activate(self, folder: Path) -> str:
        before = self.plan.champion
        label = self._change(LineupPlan(folder, self.plan.challengers), reopen=True)
        if folder != before:
            # Activating the same bundle twice, after a lost reply for instance, keeps the way back.
            self.previous = before
        return label

    def _change(self, plan: LineupPlan, *, reopen: bool = False) -> str:
        """Let `plan` serve in all workers or in none. Returns the champion's label. With `_changing` held."""
        due = time.monotonic() + _longest_preparation(plan)
        ordered: list[Connection] = []
        reports: list[Report] = []
        while True:
            with self.membership:
                added = [worker for worker in self.workers.values() if worker not in ordered]
                if reports and not added:
                    self._order(ordered, "commit", COMMIT_TIMEOUT)
                    self.plan = plan
                    return reports[0].label
            # All workers at first; then those that have replaced one that died meanwhile.
            reports += self._order(added, "prepare", due - time.monotonic(), plan, reopen=reopen)
            ordered += added
            refusal = next((report.why for report in reports if not report.done), None)
            if refusal is not None or not reports:
                self._order(ordered, "abort", COMMIT_TIMEOUT)
                raise ChangeRefused(refusal or "no worker is running")

    def _order(
        self,
        workers: Sequence[Connection],
        action: Action,
        timeout: float,
        plan: LineupPlan | None = None,
        *,
        reopen: bool = False,
    ) -> list[Report]:
        """The reports of the workers; a worker that has died has none."""
        order = Order(next(self._numbers), action, plan, reopen)
        sent = [worker for worker in workers if _send(worker, order)]
        due = time.monotonic() + timeout
        reports = (self._report(worker, order.number, due) for worker in sent)
        return [report for report in reports if report is not None]

    def _report(self, worker: Connection, number: int, due: float) -> Report | None:
        try:
            while not self.stopping and (left := due - time.monotonic()) > 0:
                if not worker.poll(min(left, _STOP_CHECK)):
                    continue
                report: Report = worker.recv()
                # A late report on an earlier order is skipped.
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
        # It has just died; its replacement loads the line-up of that moment.
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
        return False  # The workers report what is wrong with it.
