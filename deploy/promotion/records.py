"""Records of a promotion: what each step makes of what the fleet serves, as values. Nothing is written here.

The newcomer is beside the champion in an experiment of its own, which counts what both do. Each share is a
stratum of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bundle.registry import changes
from bundle.registry.generation import Challenger, Change, Generation, PromotionState, Ref
from deploy.gates.outcome import GateResult
from deploy.promotion.plan import GUARDS, Plan
from deploy.promotion.steps import Step
from monitoring.experiments import changes as experiments
from monitoring.experiments.analysis import finite
from monitoring.experiments.changes import PROMOTION_GUARDRAILS
from monitoring.experiments.definition import Arm, Definition, Note

NEWCOMER: Final = "newcomer"
"""Name of the newcomer among the challengers"""


def experiment_of(promotion: str) -> str:
    """Name of the experiment of a promotion."""
    return f"promotion-{promotion}"


def is_first(now: Generation) -> bool:
    """Whether the promotion in `now` gives the fleet its first champion."""
    state = now.promotion
    newcomer = None if state is None else state.newcomer
    return now.champion is None or (now.champion == newcomer and not now.former)


def kept_result(result: GateResult, at: float, step: Step) -> dict[str, Any]:
    """A result as records hold it. `at`: Unix time, seconds."""
    text = json.dumps(finite(result.to_values()), ensure_ascii=False, default=str)
    # A message may quote a file name that is no text.
    plain: dict[str, Any] = json.loads(text.encode("utf-8", "replace"))
    return {"at": at, "phase": step.phase, "step": step.index, **plain}


def begun(now: Generation | None, state: PromotionState, change: Change) -> Generation:
    """The promotion runs, and nothing else has changed."""
    if now is None:
        return Generation(1, None, change, promotion=state)
    return changes.with_promotion(now, state, change)


def at_step(now: Generation, step: Step, plan: Plan, state: PromotionState, change: Change) -> Generation:
    """The step has begun: `state` says so, and the fleet is as the step wants it."""
    if step.phase == "prepare":
        return changes.with_next(now, state.newcomer, change, promotion=state)
    if step.phase == "everything":
        return changes.promoted(now, state.newcomer, change, promotion=state)
    if step.phase not in ("shadow", "canary"):
        return changes.with_promotion(now, state, change)
    definition = _definition(now, step, plan, state, change)
    challenger = Challenger(NEWCOMER, state.newcomer, step.share)
    others = tuple(one for one in now.challengers if one.bundle != state.newcomer)
    lineup = changes.with_lineup(now, (*others, challenger), _plain(definition), change)
    return replace(lineup, promotion=state)


def stated(now: Generation, state: PromotionState, change: Change) -> Generation:
    """The promotion is as `state` says, and what serves stays."""
    return changes.with_promotion(now, state, change)


def _definition(now: Generation, step: Step, plan: Plan, state: PromotionState, change: Change) -> Definition:
    note = Note(change.at, change.by, change.reason)
    entrant = experiments.Entrant(Arm(state.newcomer.label, state.newcomer.digest), step.share)
    if now.experiment is not None:
        return experiments.with_share(Definition.from_values(now.experiment), entrant, note)
    control = _champion(now)
    guards = {guard: getattr(plan.guardrails, guard) for guard in GUARDS}
    design = experiments.Design(
        experiment_of(state.id),
        state.id,
        guardrails=replace(PROMOTION_GUARDRAILS, slow=plan.guardrails.slow, **guards),
        on_mismatch="withdraw",
    )
    arm = Arm(control.label, control.digest)
    return experiments.started(design, arm, [entrant], note, control.digest)


def _champion(now: Generation) -> Ref:
    if now.champion is None:
        raise ValueError("a fleet without a champion has nothing that a newcomer could be beside")
    return now.champion


def _plain(definition: Definition) -> Mapping[str, Any]:
    """The definition as JSON gives it back, with lists in the place of tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(definition.to_values()))
    return plain
