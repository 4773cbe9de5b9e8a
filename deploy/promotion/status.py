"""Status of a promotion: how far it is, and what it waits for, as the registry and the services say."""

from __future__ import annotations

from dataclasses import dataclass

from bundle.registry.generation import Generation, PromotionState
from bundle.registry.promotions import running
from deploy.errors import PlanRefused
from deploy.promotion.machine import Observation, Wait, next_step
from deploy.promotion.plan_file import plan_from_record
from deploy.promotion.readings import Expected, displaced, read_step
from deploy.promotion.records import experiment_of, is_first
from deploy.promotion.scene import Scene, Sight
from deploy.promotion.steps import steps_of
from monitoring.fleet.report import ServiceReport


@dataclass(frozen=True, slots=True)
class Status:
    """The fleet, with the promotion that runs or ran last."""

    generation: Generation
    promotion: PromotionState | None
    """None: there has been none since the newest change"""
    runs: bool
    waits_for: str | None
    """What the present step still needs; None: no promotion runs, or a promoter is at work on it"""
    until: float | None
    """Unix time at which the step ends in a rollback"""
    reports: tuple[ServiceReport, ...]
    """Of the services; empty if none reports"""
    fault: str | None
    """What could not be seen"""


def status(scene: Scene) -> Status | None:
    """The status now; None before the first record of the fleet. Raises a RegistryError."""
    now = scene.log.newest()
    if now is None:
        return None
    state = now.promotion
    runs = running(now) is not None
    name = None if state is None or not runs else experiment_of(state.id)
    sight = scene.look(now, name)
    waits_for, until = (None, None) if state is None or not runs else _waits(scene, state, sight)
    return Status(sight.generation, state, runs, waits_for, until, sight.reports, sight.fault)


def _waits(scene: Scene, state: PromotionState, sight: Sight) -> tuple[str | None, float | None]:
    """(what the step still needs, until when)."""
    try:
        plan = plan_from_record(state.plan)
    except PlanRefused as error:
        return str(error), None
    steps = steps_of(plan, (), first=is_first(sight.generation))
    step = next((one for one in steps if (one.phase, one.index) == (state.phase, state.step)), None)
    if step is None or step.longest is None:
        return None, None
    until = state.since + step.longest
    expected = Expected(plan, step, state.newcomer, sight.generation.number)
    try:
        results, withdrawn = read_step(expected, sight, state), displaced(expected, sight.generation)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return f"what the services have stored cannot be read: {error}", until
    elapsed = max(0.0, scene.clock() - state.since)
    seen = Observation(results, min(elapsed, step.longest), sight.fault, withdrawn)
    action = next_step(steps, steps.index(step), seen)
    text = action.text if isinstance(action, Wait) else "its promoter, to write what it has seen"
    return text, until
