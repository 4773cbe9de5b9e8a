"""Fleet: the parent changes the line-up of all workers as one. Prepare everywhere, then commit everywhere.

A bundle that is new to the line-up is first tried in a process of its own. A worker that does not carry out
an order in time is replaced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from service.errors import ChangeRefused, RecordUnreachable
from service.lineup.lineup import LineupPlan
from service.lineup.orders import Order, Report, send

COMMIT_TIMEOUT = 10.0
_STOP_CHECK = 0.5
"""Seconds between two checks, during a wait, whether the service is stopping or the client has gone."""

Cancelled = Callable[[], bool]
"""Whether the client that requested a change has gone."""
Keep = Callable[[LineupPlan], None]
"""Puts a line-up that is about to serve on the disk, or into the record of the fleet. Raises OSError, and
ChangeRefused if the record does not take it."""


def _never() -> bool:
    return False


def _no_trial(folder: Path, cancelled: Cancelled) -> str | None:
    return None


def _not_noted(label: str) -> None:
    pass


def _not_kept(plan: LineupPlan) -> None:
    pass


def _two_minutes(folders: list[Path]) -> float:
    return 120.0


class Fleet:
    """The workers as the admin port sees them: one line-up, changed as one.

    Every change takes `cancelled`; a change whose client has gone is dropped, with the old line-up serving.
    """

    def __init__(
        self,
        plan: LineupPlan,
        *,
        trial: Callable[[Path, Cancelled], str | None] = _no_trial,
        limit: Callable[[list[Path]], float] = _two_minutes,
        replace: Callable[[Connection], None] = Connection.close,
        activated: Callable[[str], None] = _not_noted,
    ) -> None:
        """`trial`: try a bundle before the workers load it; it returns the reason why the bundle would
        abstain on every image, or raises ChangeRefused. `limit`: seconds that a worker may take to load the
        bundles in these folders. `replace`: end a worker that took longer, and start another. `activated`: a
        bundle with this label has become the champion instead of another one."""
        self.plan = plan
        """The line-up that serves; a worker that starts later loads it. Set with `membership` held."""
        self._trial = trial
        self._limit = limit
        self._replace = replace
        self._activated = activated
        self._overdue: list[Connection] = []
        """Workers that did not carry out an order in time and have not ended yet."""
        self._former: list[Path] = []
        """Folders of earlier champions, to roll back to; the latest is the last."""
        self.membership = threading.Lock()
        """Held briefly, while a worker is added or removed and while a change is committed: a worker that was
        added before takes part in the change, and one that is added after loads its result."""
        self.workers: dict[int, Connection] = {}
        self.stopping = False
        """Ends every wait."""
        self._changing = threading.Lock()
        """Held while the line-up changes, which may take minutes"""
        self._numbers = count(1)

    @property
    def previous(self) -> Path | None:
        """Folder of the champion to roll back to."""
        return self._former[-1] if self._former else None

    def activate(self, folder: Path, cancelled: Cancelled = _never, *, allow_abstaining: bool = True) -> str:
        """Make the bundle in `folder` the champion of all workers or of none. Returns its label.

        Not `allow_abstaining`: refuse a bundle that may answer no image here. Raises ChangeRefused; the old
        champion goes on answering then, as it does while an experiment runs.
        """
        with self._turn(cancelled):
            self._refuse_in_experiment()
            before = self.plan.champion
            plan = LineupPlan(folder, self.plan.challengers, kept=self.plan.kept)
            label = self._change(plan, cancelled, reopen=True, allow_abstaining=allow_abstaining)
            if folder != before:
                self._activated(label)
                # Activating the same bundle twice, after a lost reply for instance, keeps the way back.
                self._former.append(before)
            return label

    def roll_back(
        self, champion: Path, previous: Path, cancelled: Cancelled = _never, *, end: Keep | None = None
    ) -> str:
        """Make `previous` the champion again instead of `champion`. Returns its label.

        Both as the caller has seen them: of two concurrent calls one rolls back, and the other is refused.
        A second roll-back goes to the champion before `previous`, never back to `champion`. `end`: keeps
        that a running experiment ends; without it the experiment refuses the change. Raises ChangeRefused.
        """
        with self._turn(cancelled):
            if (self.plan.champion, self.previous) != (champion, previous):
                raise ChangeRefused(
                    f"another change came first, and {self.plan.champion.name} answers since; ask again to "
                    "roll that back"
                )
            if end is None:
                self._refuse_in_experiment()
            plan = LineupPlan(previous, self.plan.challengers, kept=self.plan.kept)
            label = self._change(plan, cancelled, reopen=True, keep=end or _not_kept)
            self._activated(label)
            # The bundle that was rolled back is no target of a later roll-back.
            self._former = [folder for folder in self._former if folder != champion]
            while self._former and self._former[-1] == previous:
                self._former.pop()
            return label

    def change(
        self, build: Callable[[LineupPlan], LineupPlan], cancelled: Cancelled = _never, keep: Keep = _not_kept
    ) -> None:
        """Let the challengers and the experiment that `build` makes of the present line-up serve.

        `build` raises what the caller expects; `keep` is called between the preparation and the change.
        Raises ChangeRefused.
        """
        with self._turn(cancelled):
            self._change(build(self.plan), cancelled, keep=keep)

    def follow(
        self,
        build: Callable[[LineupPlan], LineupPlan],
        former: Sequence[Path] | None = None,
        keep: Keep = _not_kept,
        *,
        proven: Sequence[Path] = (),
    ) -> None:
        """Let the line-up serve that `build` makes of the present one, its champion and experiment included.

        `former`: folders of the earlier champions, the latest at the end; None: they stay. `proven`: folders
        of bundles that have been tried. A champion that is open already is not opened again, so this only
        swaps. `build` and `keep` as in `change`. Raises ChangeRefused.
        """
        with self._turn(_never):
            before, plan = self.plan, build(self.plan)
            if plan == before:
                if (why := _unkept(keep, plan)) is not None:
                    raise ChangeRefused(why)
            else:
                label = self._change(plan, _never, keep=keep, proven=proven)
                if plan.champion != before.champion:
                    self._activated(label)
            if former is not None:
                self._former = list(former)

    def _refuse_in_experiment(self) -> None:
        running = self.plan.experiment
        if running is not None:
            raise ChangeRefused(
                f"the experiment {running.name} compares its challengers with the champion of now; stop it "
                f"first, with `demur experiment stop {running.name}` or POST /experiments/{running.name}/stop"
            )

    @contextmanager
    def _turn(self, cancelled: Cancelled) -> Iterator[None]:
        """Wait for the change before this one. Raises ChangeRefused if the client goes meanwhile."""
        while not self._changing.acquire(timeout=_STOP_CHECK):
            self._refuse_if_over(cancelled)
        try:
            self._refuse_if_over(cancelled)
            yield
        finally:
            self._changing.release()

    def _refuse_if_over(self, cancelled: Cancelled) -> None:
        if self.stopping:
            raise ChangeRefused("the service is stopping")
        if cancelled():
            raise ChangeRefused("the client has gone; nothing was changed")

    def _change(
        self,
        plan: LineupPlan,
        cancelled: Cancelled,
        *,
        reopen: bool = False,
        allow_abstaining: bool = True,
        keep: Keep = _not_kept,
        proven: Sequence[Path] = (),
    ) -> str:
        """Let `plan` serve in all workers or in none. Returns the champion's label. With `_changing` held."""
        for folder in self._unproven(plan, reopen):
            if folder in proven:
                continue
            abstains = self._trial(folder, lambda: self.stopping or cancelled())
            if abstains is not None and folder == plan.champion and not allow_abstaining:
                raise ChangeRefused(
                    f"it would abstain on every image ({abstains}); activate it with ?allow=abstaining if "
                    "that is intended"
                )
        due = time.monotonic() + self._limit(plan.folders())
        order = Order(next(self._numbers), "prepare", plan, reopen)
        ordered: list[Connection] = []
        reports: list[Report] = []
        while True:
            with self.membership:
                added = [worker for worker in self._in_time() if worker not in ordered]
                ready = reports and not added and not cancelled()
                refusal = _unkept(keep, plan) if ready else None
                if ready and refusal is None:
                    self._send_all(ordered, Order(next(self._numbers), "commit"), COMMIT_TIMEOUT)
                    self.plan = plan
                    return reports[0].label
            if refusal is None:
                # All workers at first; then those that have replaced one that died meanwhile.
                left = due - time.monotonic()
                reports += self._send_all(added, order, left) if left > 0 else [_late(order)]
                ordered += added
                refusal = next((report.why for report in reports if not report.done), None)
                if refusal is None and reports and not cancelled():
                    continue
            self._send_all(self._in_time(ordered), Order(next(self._numbers), "abort"), COMMIT_TIMEOUT)
            self._refuse_if_over(cancelled)
            raise ChangeRefused(refusal or "no worker is running")

    def _in_time(self, workers: Sequence[Connection] | None = None) -> list[Connection]:
        """Those of `workers`, by default all, that are not being replaced."""
        self._overdue = [worker for worker in self._overdue if worker in self.workers.values()]
        among = self.workers.values() if workers is None else workers
        return [worker for worker in among if worker not in self._overdue]

    def _unproven(self, plan: LineupPlan, reopen: bool) -> list[Path]:
        """Folders of `plan` that no worker serves as they are now."""
        serving = self.plan.folders()
        return [
            folder
            for folder in plan.folders()
            if folder not in serving or (folder == plan.champion and reopen)
        ]

    def _send_all(self, workers: Sequence[Connection], order: Order, timeout: float) -> list[Report]:
        """The reports of the workers on an order; a worker that has died has none, and one that takes too
        long is replaced."""
        sent = [worker for worker in workers if send(worker, order)]
        due = time.monotonic() + timeout
        reports = (self._report(worker, order.number, due) for worker in sent)
        return [report for report in reports if report is not None]

    def _report(self, worker: Connection, number: int, due: float) -> Report | None:
        try:
            while not self.stopping:
                left = max(0.0, due - time.monotonic())
                # Even without time left: the report may have arrived while another worker was awaited.
                if worker.poll(min(left, _STOP_CHECK)):
                    report: Report = worker.recv()
                    # A late report on an earlier order is skipped.
                    if report.number == number:
                        return report
                elif not left:
                    break
        except (EOFError, OSError):
            return None
        if self.stopping:
            return Report(number, False, "", "the service is stopping")
        self._overdue.append(worker)
        self._replace(worker)
        return Report(number, False, "", "a worker did not answer in time, and is replaced")


def _unkept(keep: Keep, plan: LineupPlan) -> str | None:
    """Why a line-up is not on the disk or in the record; None if it is."""
    try:
        keep(plan)
    except (ChangeRefused, RecordUnreachable) as error:
        return str(error)
    except OSError as error:
        return f"the data folder does not keep it: {error.strerror or error}"
    return None


def _late(order: Order) -> Report:
    return Report(order.number, False, "", "the workers did not answer in time")
