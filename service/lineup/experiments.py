"""Experiments as the parent runs them: each change of a share goes to the disk and to all workers, as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from bundle.manifest import BundleError
from monitoring.experiments.changes import ended, mismatched, running_of, started, with_share, withdrawn
from monitoring.experiments.definition import AUTOMATIC, Definition, Note
from monitoring.experiments.folder import ExperimentFolder
from service.errors import ChangeRefused
from service.lineup.experiment_orders import Asked, Start, arm_of, entrant, refusals
from service.lineup.fleet import Cancelled, Fleet, Keep
from service.lineup.lineup import LineupPlan, label_of
from service.lineup.plans import with_challenger, without_challenger
from service.lineup.record import LineupRecord
from service.settings import ChallengerSettings

logger = structlog.get_logger("demur.experiments")

_ENDED: Final = "the fleet goes on without it"

_Step = Callable[[Definition], Definition]
_Build = Callable[[LineupPlan], LineupPlan]


class Experiments:
    """The running experiment of one service, and those that were."""

    def __init__(
        self,
        fleet: Fleet,
        folder: ExperimentFolder | None = None,
        configured: Path = Path(),
        running: Definition | None = None,
        *,
        record: LineupRecord | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`folder`: None: no experiment can begin; `configured`: folder of the settings' bundle; `running`:
        what serves already, as `fleet` has it; `record`: what this service shares with others, if it does;
        `clock`: Unix time, seconds."""
        self._fleet, self.folder, self._configured = fleet, folder, configured
        self.record, self._clock = record, clock
        self.running = running
        """The experiment that runs, as it is on the disk"""
        self._unkept: Definition | None = None
        self._unrecorded: Asked | None = None
        self._lock: Final = threading.Lock()

    def start(self, order: Start, cancelled: Cancelled) -> Definition:
        """Deal the units anew, to all challengers. Raises ChangeRefused."""
        note, name = Note(self._clock(), order.by, order.reason), order.design.name
        made: list[Definition] = []

        def build(plan: LineupPlan) -> LineupPlan:
            if plan.experiment is not None:
                raise ChangeRefused(f"the experiment {plan.experiment.name} runs; one runs at a time")
            if self.folder is None:
                raise ChangeRefused(
                    "an experiment is counted from the event log, and there is none; DEMUR_EVENT_LOG must "
                    "be true, and DEMUR_REDIS_URL must not be 'off'"
                )
            if name in self.folder.names():
                raise ChangeRefused(
                    f"there has been an experiment {order.design.name}; each has a name of its own"
                )
            for challenger in order.challengers:
                plan = with_challenger(plan, challenger)
            control = arm_of(plan.champion)
            entrants = [entrant(one) for one in plan.challengers]
            with refusals():
                made.append(started(order.design, control, entrants, note, str(self._configured)))
            return replace(plan, experiment=running_of(made[-1]))

        asked = Asked(order.by, order.reason)
        self._fleet.change(build, cancelled, lambda plan: self._keep(plan, made[-1], asked))
        return made[-1]

    def challenge(
        self, challenger: ChallengerSettings, cancelled: Cancelled, asked: Asked | None = None
    ) -> None:
        """Put a challenger beside the champion, or change its share: through the experiment, if one runs.

        Raises ChangeRefused, and KeyError if another experiment than the one that is meant runs.
        """
        told = asked or Asked()

        def step(held: Definition) -> Definition:
            return with_share(held, entrant(challenger), self._note(told))

        self._change(step, lambda plan: with_challenger(plan, challenger), cancelled, told)

    def withdraw(self, folder: Path, cancelled: Cancelled, asked: Asked | None = None) -> None:
        """Remove a challenger, whose units return to the control.

        Raises ChangeRefused, and KeyError if it is none, or another experiment runs than is meant.
        """
        told = asked or Asked()

        def step(held: Definition) -> Definition:
            # By its folder: the folder may have gone, or hold another bundle.
            labels = [arm.label for arm in held.arms if arm.folder == str(folder)]
            return withdrawn(held, labels, self._note(told), told.cause)

        self._change(step, lambda plan: without_challenger(plan, folder), cancelled, told)

    def note_mismatch(self, reason: str, cancelled: Cancelled) -> None:
        """Forbid every conclusion of the running experiment. Raises ChangeRefused."""
        told = Asked(AUTOMATIC, reason)
        self._change(lambda held: mismatched(held, self._note(told)), lambda plan: plan, cancelled, told)

    def stop(self, name: str, note: tuple[str, str], cancelled: Cancelled) -> Definition:
        """End the experiment; its challengers stay, with their shares side by side again. Raises KeyError
        if it does not run, or ChangeRefused."""
        made: list[Definition] = []

        def build(plan: LineupPlan) -> LineupPlan:
            if self.running is None or self.running.name != name:
                raise KeyError(name)
            made.append(ended(self.running, Note(self._clock(), *note)))
            return replace(plan, experiment=None)

        self._fleet.change(build, cancelled, lambda plan: self._keep(plan, made[-1], Asked(*note)))
        return made[-1]

    def ending(self, reason: str) -> Keep:
        """Ends the experiment, if one runs, with a change of the champion that must not wait for it."""

        def keep(plan: LineupPlan) -> None:
            if self.running is not None:
                self._keep_now_or_later(ended(self.running, Note(self._clock(), AUTOMATIC, reason)))

        return keep

    def adopt(self, definition: Definition | None) -> Keep:
        """Takes the experiment of a record, or that there is none; for a change of the line-up to it."""

        def keep(plan: LineupPlan) -> None:
            before, name = self.running, None if definition is None else definition.name
            if before is not None and before.name != name:
                self._keep_now_or_later(ended(before, Note(self._clock(), AUTOMATIC, _ENDED)))
            if definition is not None:
                self._keep_now_or_later(definition)

        return keep

    def folder_of(self, label: str) -> Path | None:
        """Folder of a challenger with this `name:version`, whether it is in an experiment or not."""
        arms = () if self.running is None else self.running.arms
        known = {arm.folder: arm.label for arm in arms}
        # Of one in an experiment the folder may have gone.
        folders = (one.folder for one in self._fleet.plan.challengers)
        return next((one for one in folders if (known.get(str(one)) or _label(one)) == label), None)

    def keep_again(self) -> None:
        """Try again to keep what the disk or the record did not take."""
        self._record_again()
        with self._lock:
            if self._unkept is not None:
                with suppress(OSError):
                    self._write(self._unkept)
                    self._unkept = None

    def _change(self, step: _Step, change: _Build, cancelled: Cancelled, asked: Asked) -> None:
        """`change` the challengers, and `step` the experiment if one runs."""
        made: list[Definition] = []

        def build(plan: LineupPlan) -> LineupPlan:
            running = None if self.running is None else self.running.name
            if asked.experiment not in (None, running):
                raise KeyError(asked.experiment)
            plan = change(plan)
            if plan.experiment is None or self.running is None:
                return plan
            with refusals():
                made.append(step(self.running))
            return replace(plan, experiment=running_of(made[-1]))

        self._fleet.change(build, cancelled, lambda plan: self._keep(plan, made[-1] if made else None, asked))

    def _keep(self, plan: LineupPlan, definition: Definition | None, asked: Asked) -> None:
        """Keep a change in the record, if there is one, and on the disk. Raises ChangeRefused and OSError.

        Neither an absent registry nor a full disk keeps a bad challenger in service.
        """
        recorded = self.record is not None
        try:
            self._in_record(plan, definition, asked)
        except OSError as error:
            if asked.by != AUTOMATIC:
                raise
            logger.error("experiment_not_recorded", why=str(error), note="this service goes on by itself")
            self._unrecorded = asked
        if definition is not None and (recorded or asked.by == AUTOMATIC):
            self._keep_now_or_later(definition)
        elif definition is not None:
            self._hold(definition)

    def _in_record(self, plan: LineupPlan, definition: Definition | None, asked: Asked) -> None:
        if self.record is not None:
            running = definition if definition is not None and definition.running else None
            self.record.keep(plan, running, asked.by, asked.reason)
            self._unrecorded = None

    def _record_again(self) -> None:
        asked = self._unrecorded
        if asked is None:
            return
        try:
            self._in_record(self._fleet.plan, self.running, asked)
        except OSError:
            return
        except ChangeRefused as error:
            # The record has moved on: this service adopts what it says.
            self._unrecorded = None
            logger.warning("experiment_not_recorded", why=str(error))

    def _hold(self, definition: Definition) -> None:
        """Raises OSError."""
        with self._lock:
            self._write(definition)
            self.running, self._unkept = (definition if definition.running else None), None

    def _write(self, definition: Definition) -> None:
        if self.folder is not None:
            self.folder.write(definition)

    def _note(self, asked: Asked) -> Note:
        return Note(self._clock(), asked.by, asked.reason)

    def _keep_now_or_later(self, definition: Definition) -> None:
        try:
            self._hold(definition)
        except OSError as error:
            logger.error("experiment_not_kept", experiment=definition.name, error=str(error))
            with self._lock:
                self.running = definition if definition.running else None
                self._unkept = definition


def _label(folder: Path) -> str | None:
    try:
        return label_of(folder)
    except (BundleError, OSError):
        return None
