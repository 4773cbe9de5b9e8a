"""Experiments as the parent runs them: each change of a share goes to the disk and to all workers, as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog

from bundle.manifest import BundleError
from monitoring.choices import OnMismatch
from monitoring.experiments.definition import (
    AUTOMATIC,
    MAX_STRATA,
    METRICS,
    REQUEST,
    Arm,
    Definition,
    Guardrails,
    Metric,
    Note,
    Stratum,
    Withdrawal,
)
from monitoring.experiments.folder import ExperimentFolder
from service.errors import ChangeRefused
from service.lineup.assignment import Dealing, RunningExperiment, Segment
from service.lineup.fleet import Cancelled, Fleet, Keep
from service.lineup.lineup import LineupPlan, label_of
from service.lineup.plans import with_challenger, without_challenger
from service.settings import ChallengerSettings

logger = structlog.get_logger("demur.experiments")

_ROUTE: Final = "the private port"
"""Who has changed a challenger by a route that asks for no name"""


@dataclass(frozen=True, slots=True)
class Start:
    """What an experiment is to be."""

    name: str
    salt: str
    by: str
    reason: str
    challengers: Sequence[ChallengerSettings] = ()
    """To add, or to change; those that serve already are in the experiment as well."""
    metrics: tuple[Metric, ...] = METRICS
    guardrails: Guardrails = field(default_factory=Guardrails)
    on_mismatch: OnMismatch = "hold"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a challenger to change, and why."""

    by: str = _ROUTE
    reason: str = "by its own route"
    experiment: str | None = None
    """The experiment that is meant; None: the one that runs, if any"""
    cause: str = REQUEST
    """Of a withdrawal, as in `Withdrawal`"""


_Step = Callable[[LineupPlan, Definition], tuple[LineupPlan, Definition]]


class Experiments:
    """The running experiment of one service, and those that were."""

    def __init__(
        self,
        fleet: Fleet,
        folder: ExperimentFolder | None = None,
        configured: Path = Path(),
        running: Definition | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`folder`: None: no experiment can begin; `configured`: folder of the settings' bundle; `running`:
        what serves already, as `fleet` has it; `clock`: Unix time, seconds."""
        self._fleet, self.folder, self._configured = fleet, folder, configured
        self._clock = clock
        self.running = running
        """The experiment that runs, as it is on the disk"""
        self._unkept: Definition | None = None
        self._lock: Final = threading.Lock()

    def start(self, order: Start, cancelled: Cancelled) -> Definition:
        """Deal the units anew, to all challengers. Raises ChangeRefused."""
        note = Note(self._clock(), order.by, order.reason)
        made: list[Definition] = []

        def build(plan: LineupPlan) -> LineupPlan:
            if plan.experiment is not None:
                raise ChangeRefused(f"the experiment {plan.experiment.name} runs; one runs at a time")
            if self.folder is None:
                raise ChangeRefused(
                    "an experiment is counted from the event log, and there is none; DEMUR_EVENT_LOG must "
                    "be true, and DEMUR_REDIS_URL must not be 'off'"
                )
            if order.name in self.folder.names():
                raise ChangeRefused(f"there has been an experiment {order.name}; each has a name of its own")
            for challenger in order.challengers:
                plan = with_challenger(plan, challenger)
            if not plan.challengers:
                raise ChangeRefused("there is no challenger to compare with the champion; name one")
            arms = tuple(Arm(_label(one.folder), str(one.folder)) for one in plan.challengers)
            dealing = Dealing.of(_shares(plan.challengers))
            control = Arm(_label(plan.champion), str(plan.champion))
            made.append(
                Definition(
                    *(order.name, order.salt, control, arms, (_stratum(dealing, note, plan, arms),), note),
                    str(self._configured),
                    *(order.metrics, order.guardrails, order.on_mismatch),
                )
            )
            return replace(plan, experiment=running_of(made[-1]))

        self._fleet.change(build, cancelled, lambda plan: self._keep(made[-1]))
        return made[-1]

    def challenge(
        self, challenger: ChallengerSettings, cancelled: Cancelled, asked: Asked | None = None
    ) -> None:
        """Put a challenger beside the champion, or change its share: through the experiment, if one runs.

        Raises ChangeRefused, and KeyError if another experiment than the one that is meant runs.
        """
        told = asked or Asked()

        def step(plan: LineupPlan, held: Definition) -> tuple[LineupPlan, Definition]:
            label = _label(challenger.folder)
            if (left := held.withdrawn(label)) is not None:
                raise ChangeRefused(
                    f"it was withdrawn from {held.name} ({left.note.reason}), and does not return to it; "
                    "stop the experiment and start another"
                )
            plan = with_challenger(plan, challenger)
            held = held.with_arm(Arm(label, str(challenger.folder)))
            return _dealt(plan, held, {label: challenger.share or 0.0}, self._note(told))

        self._change(step, lambda plan: with_challenger(plan, challenger), cancelled, told)

    def withdraw(self, folder: Path, cancelled: Cancelled, asked: Asked | None = None) -> None:
        """Remove a challenger, whose units return to the control.

        Raises ChangeRefused, and KeyError if it is none, or another experiment runs than is meant.
        """
        told = asked or Asked()

        def step(plan: LineupPlan, held: Definition) -> tuple[LineupPlan, Definition]:
            plan = without_challenger(plan, folder)
            note = self._note(told)
            # By its folder: the folder may have gone, or hold another bundle.
            labels = [arm.label for arm in held.arms if arm.folder == str(folder)]
            for label in labels:
                held = held.with_withdrawal(Withdrawal(label, note, told.cause))
            return _dealt(plan, held, dict.fromkeys(labels, 0.0), note)

        self._change(step, lambda plan: without_challenger(plan, folder), cancelled, told)

    def note_mismatch(self, reason: str, cancelled: Cancelled) -> None:
        """Forbid every conclusion of the running experiment. Raises ChangeRefused."""

        def step(plan: LineupPlan, held: Definition) -> tuple[LineupPlan, Definition]:
            return plan, replace(held, mismatch=held.mismatch or self._note(told))

        told = Asked(AUTOMATIC, reason)
        self._change(step, lambda plan: plan, cancelled, told)

    def stop(self, name: str, note: tuple[str, str], cancelled: Cancelled) -> Definition:
        """End the experiment; its challengers stay, with their shares side by side again. Raises KeyError
        if it does not run, or ChangeRefused."""
        made: list[Definition] = []

        def build(plan: LineupPlan) -> LineupPlan:
            if self.running is None or self.running.name != name:
                raise KeyError(name)
            made.append(replace(self.running, ended=Note(self._clock(), *note)))
            return replace(plan, experiment=None)

        self._fleet.change(build, cancelled, lambda plan: self._keep(made[-1]))
        return made[-1]

    def ending(self, reason: str) -> Keep:
        """Ends the experiment, if one runs, with a change of the champion that must not wait for it."""

        def keep(plan: LineupPlan) -> None:
            if self.running is not None:
                self._keep_now_or_later(replace(self.running, ended=Note(self._clock(), AUTOMATIC, reason)))

        return keep

    def keep_again(self) -> None:
        """Try again to keep what the disk did not take."""
        with self._lock:
            if self._unkept is not None:
                with suppress(OSError):
                    self._write(self._unkept)
                    self._unkept = None

    def _change(
        self,
        step: _Step,
        without: Callable[[LineupPlan], LineupPlan],
        cancelled: Cancelled,
        asked: Asked,
    ) -> None:
        """A change of the challengers: `step` while an experiment runs, otherwise `without` one."""
        # A full disk must not keep a bad challenger in service.
        keep = self._keep_now_or_later if asked.by == AUTOMATIC else self._keep
        made: list[Definition] = []

        def build(plan: LineupPlan) -> LineupPlan:
            running = None if self.running is None else self.running.name
            if asked.experiment not in (None, running):
                raise KeyError(asked.experiment)
            if plan.experiment is None or self.running is None:
                return without(plan)
            plan, definition = step(plan, self.running)
            made.append(definition)
            return plan

        self._fleet.change(build, cancelled, lambda plan: keep(made[-1]) if made else None)

    def _keep(self, definition: Definition) -> None:
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
            self._keep(definition)
        except OSError as error:
            logger.error("experiment_not_kept", experiment=definition.name, error=str(error))
            with self._lock:
                self.running = definition if definition.running else None
                self._unkept = definition


def running_of(definition: Definition) -> RunningExperiment:
    """The dealing of the present stratum."""
    segments = tuple(Segment(*one) for one in definition.strata[-1].segments)
    return RunningExperiment(definition.name, definition.salt, definition.stratum, Dealing(segments))


def _dealt(
    plan: LineupPlan, held: Definition, shares: dict[str, float], note: Note
) -> tuple[LineupPlan, Definition]:
    """Both with other shares, in a stratum of its own. Raises ChangeRefused."""
    if len(held.strata) >= MAX_STRATA and any(shares.values()):
        raise ChangeRefused(f"{held.name} has {len(held.strata)} strata, and no more are kept; start another")
    running = running_of(held)
    dealing = running.dealing
    for label, share in shares.items():
        dealing = dealing.changed(label, share)
    held = held.with_stratum(_stratum(dealing, note, plan, held.arms))
    return replace(plan, experiment=running_of(held)), held


def _stratum(dealing: Dealing, note: Note, plan: LineupPlan, arms: Sequence[Arm]) -> Stratum:
    segments = tuple((one.begin, one.end, one.arm, one.serves) for one in dealing.segments)
    shadows = {str(one.folder) for one in plan.challengers if one.share is None}
    return Stratum(
        note, dealing.shares(), segments, tuple(arm.label for arm in arms if arm.folder in shadows)
    )


def _shares(challengers: Sequence[ChallengerSettings]) -> dict[str, float]:
    return {_label(one.folder): one.share for one in challengers if one.share is not None}


def _label(folder: Path) -> str:
    try:
        return label_of(folder)
    except BundleError as error:
        raise ChangeRefused(str(error)) from error
