"""Run of a promotion: its promoter leads it from step to step, and keeps its state in the registry.

A record says both what the fleet serves and how far the promotion is, so nothing is half done between two. A
promoter that dies leaves a fleet that some record states, and whoever comes next goes on from there.
"""

from __future__ import annotations

from typing import Final

import structlog

from bundle.registry.errors import RegistryUnavailable
from bundle.registry.fleet_log import Overtaken
from bundle.registry.generation import Change, Generation, PromotionState
from bundle.registry.promotions import undone
from calibration.errors import DemurError
from deploy.errors import PlanRefused, PromotionEnded
from deploy.gates.outcome import GateResult
from deploy.promotion import records
from deploy.promotion.course import Course
from deploy.promotion.events import Outcome, Teller, ended_outcome
from deploy.promotion.hold import Ahead, Build, Hold
from deploy.promotion.lease import Heartbeat
from deploy.promotion.machine import Action, Advance, Finish, Observation, RollBack, Wait, next_step
from deploy.promotion.offline_step import offline_results
from deploy.promotion.plan import Plan
from deploy.promotion.readings import Expected, displaced, read_step
from deploy.promotion.scene import LOOK_EVERY, Scene
from deploy.promotion.steps import Step
from monitoring.experiments.dealing import ChangeImpossible

logger = structlog.get_logger("demur.promotion")

_PATIENCE: Final = 3600.0
"""Seconds for which the end of a promotion is tried to be written to a registry that does not answer"""


class _Away(Exception):
    """A record is not written, and the next look decides what follows."""


class PromotionRun:
    """The promotion that a promoter holds, from where its record is to its end."""

    def __init__(self, scene: Scene, plan: Plan, steps: tuple[Step, ...], hold: Hold) -> None:
        self._scene, self._plan, self._steps, self._hold = scene, plan, steps, hold
        state = hold.state
        # In the last step the newcomer is the champion already, and only this has to be seen and said.
        before = 0.0 if state.phase == "everything" else scene.clock() - state.since
        self._enter(self._recorded(), before)
        self._teller = Teller(scene.on, scene.clock)

    def run(self) -> Outcome:
        """Lead it to its end. Raises LeaseLost, and RegistryUnavailable if its end cannot be written."""
        scene, hold = self._scene, self._hold
        with Heartbeat(scene.registry.location, scene.fleet, hold.holder, hold.term, self._plan.lease):
            self._teller.began(self._step, hold.now, self._left())
            try:
                while True:
                    action, results = self._look()
                    outcome = self._follow(action, results)
                    if outcome is not None:
                        return outcome
            except PromotionEnded:
                return self._ended_elsewhere()

    def _recorded(self) -> int:
        """Position of the step that the newest known record has begun. Raises PlanRefused."""
        state = self._hold.state
        of = [n for n, one in enumerate(self._steps) if (one.phase, one.index) == (state.phase, state.step)]
        if not of:
            raise PlanRefused(
                f"the record says that the promotion is in step {state.step} of phase {state.phase}, which "
                "its plan does not have; go on with the version that wrote it, or `demur promotion abort`"
            )
        return of[0]

    @property
    def _step(self) -> Step:
        return self._steps[self._position]

    def _enter(self, position: int, before: float = 0.0) -> None:
        """`before`: seconds that the step has taken already, by the clocks of two machines."""
        self._position, self._since = position, self._hold.now.number
        self._began = self._scene.steady() - max(0.0, before)
        self._course = Course()

    def _elapsed(self) -> float:
        return self._scene.steady() - self._began

    def _left(self) -> float | None:
        return None if self._step.longest is None else max(0.0, self._step.longest - self._elapsed())

    def _expected(self) -> Expected:
        return Expected(self._plan, self._step, self._hold.state.newcomer, self._since)

    def _look(self) -> tuple[Action, tuple[GateResult, ...]]:
        """One look at the present step, and what follows from it."""
        seen = self._gates() if self._step.phase == "gates" else self._live()
        self._course.add(self._scene.clock(), seen.results)
        return next_step(self._steps, self._position, seen), self._course.kept_in(seen.results)

    def _gates(self) -> Observation:
        bundles = (self._hold.state.newcomer, self._hold.now.champion)
        scene, gates = self._scene, self._plan.gates
        results, fault = offline_results(
            scene.gates, scene.registry, gates, bundles, self._told_gate, self._hold.is_over
        )
        self._hold.note(scene.look(self._hold.now).generation)
        return Observation(results, self._elapsed(), fault)

    def _told_gate(self, result: GateResult) -> None:
        self._teller.result(self._step, result)
        self._hold.note(self._scene.look(self._hold.now).generation)

    def _live(self) -> Observation:
        hold = self._hold
        sight = self._scene.look(hold.now, records.experiment_of(hold.id))
        hold.note(sight.generation)
        if self._recorded() != self._position:
            # It is written already, and the answer was lost.
            self._enter(self._recorded())
            self._teller.began(self._step, hold.now, self._left())
        expected = self._expected()
        try:
            results = read_step(expected, sight, hold.state)
            withdrawn = displaced(expected, sight.generation)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            unread = f"what the services have stored cannot be read: {type(error).__name__}: {error}"
            return Observation((), self._elapsed(), sight.fault or unread)
        return Observation(results, self._elapsed(), sight.fault, withdrawn)

    def _follow(self, action: Action, results: tuple[GateResult, ...]) -> Outcome | None:
        """Do what follows; the outcome if the promotion has ended."""
        try:
            if isinstance(action, Advance):
                self._advance(action.step, results)
                return None
            if isinstance(action, Finish):
                reason = f"{self._hold.state.newcomer.label} is promoted"
                self._write(Ahead("promoted", 0, reason, self._step, results), records.stated)
                self._teller.passed(self._step, results)
                return self._outcome()
        except ChangeImpossible as error:
            action = RollBack(f"the step after {self._step.name} cannot begin: {error}")
        except _Away as error:
            # The next look says what is true by then, and whether there is time left.
            action = Wait(str(error))
        if isinstance(action, RollBack):
            return self._roll_back(action.why, results)
        self._wait(action)
        return None

    def _wait(self, action: Action) -> None:
        if isinstance(action, Wait):
            self._teller.waits(self._step, action.text, self._left())
        self._scene.sleep(LOOK_EVERY)

    def _advance(self, step: Step, results: tuple[GateResult, ...]) -> None:
        passed, expected = self._step, self._expected()

        def build(now: Generation, state: PromotionState, change: Change) -> Generation:
            # A service may have withdrawn it since the look.
            if (left := displaced(expected, now)) is not None:
                raise _Away(f"the newcomer was withdrawn: {left}")
            return records.at_step(now, step, self._plan, state, change)

        self._write(Ahead(step.phase, step.index, f"{step.name} begins", passed, results), build)
        self._enter(self._steps.index(step))
        self._teller.passed(passed, results)
        self._teller.began(step, self._hold.now, self._left())

    def _roll_back(self, why: str, results: tuple[GateResult, ...]) -> Outcome:
        """End the promotion, and undo what it has done."""
        self._teller.results(self._step, results)
        self._write(Ahead("rolled-back", 0, why, self._step, results, why), undone)
        return self._outcome()

    def _write(self, ahead: Ahead, build: Build) -> None:
        """Write a record. Raises _Away if the registry does not take it, and looking again may help: the end
        and what was computed here are tried to be written for as long as `_PATIENCE` lasts."""
        due = self._scene.steady() + _PATIENCE
        while True:
            try:
                return self._hold.write(ahead, build)
            except (RegistryUnavailable, Overtaken) as error:
                if self._step.longest is not None and ahead.why is None:
                    raise _Away(f"the registry: {error}") from error
                if self._scene.steady() > due:
                    raise
                self._wait(Wait(f"{ahead.reason}: this is not written yet: {error}"))

    def _outcome(self) -> Outcome:
        return self._told_end(self._hold.now)

    def _ended_elsewhere(self) -> Outcome:
        """A person, a service or another promoter has ended it; the record with its end says why."""
        return self._told_end(self._hold.find_end())

    def _told_end(self, now: Generation) -> Outcome:
        """The outcome, reported and told. `now`: the record that says it."""
        outcome = ended_outcome(now, self._hold.id)
        if now.promotion is not None and now.promotion.id == self._hold.id:
            self._report(now)
        self._teller.ended(outcome)
        return outcome

    def _report(self, now: Generation) -> None:
        """A report that cannot be written changes nothing, and is said."""
        try:
            text = f"report: {self._scene.report(self._scene.registry, self._scene.fleet, now)}"
        except (DemurError, OSError) as error:
            text = f"the report is not written: {error}"
        except Exception as error:
            logger.exception("report_not_written", promotion=self._hold.id)
            text = f"the report is not written: {type(error).__name__}: {error}"
        self._teller.note(self._step, text)
