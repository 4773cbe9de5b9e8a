"""Steps of a promotion: their order, what each must see before the next begins, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from deploy.promotion.plan import Plan

Phase = Literal["gates", "prepare", "shadow", "canary", "approval", "everything", "promoted", "rolled-back"]

LIVE: Final[tuple[Phase, ...]] = ("shadow", "canary", "approval")
"""Phases in which the newcomer is among the challengers, if it ever has been"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a promotion."""

    phase: Phase
    index: int
    """Number of the step within its phase, from 0"""
    gates: tuple[str, ...]
    """Names of what must pass, every one in the same look"""
    longest: float | None
    """Seconds that it may take; None: one look decides, and waiting brings nothing"""
    share: float | None = None
    """Share of the units that the newcomer answers; None: none"""

    @property
    def name(self) -> str:
        """For people: `canary 5 %`."""
        return self.phase if self.share is None else f"{self.phase} {100.0 * self.share:g} %"


def steps_of(plan: Plan, offline: Sequence[str], *, first: bool) -> tuple[Step, ...]:
    """The steps of a promotion in their order.

    `offline`: names of the offline gates; `first`: the fleet has no champion, so nothing serves that a
    newcomer could be held against, and no service has to change.
    """
    steps = [Step("gates", 0, tuple(offline), None)]
    live = not first and plan.services > 0
    if live:
        steps.append(Step("prepare", 0, ("prepare",), plan.prepare.longest))
        if plan.shadow is not None:
            gates = ("services", "shadow units", "shadow agreement", "shadow coverage")
            steps.append(Step("shadow", 0, gates, plan.shadow.longest))
        for index, one in enumerate(plan.canary):
            guards = (f"guardrail {guard}" for guard in plan.deciding(index))
            watched = ("services", "canary units", "canary shares", *guards)
            steps.append(Step("canary", index, watched, one.longest, one.share))
    if plan.approve == "required":
        steps.append(Step("approval", 0, ("approval",), plan.approval.longest))
    switch = ("everything",) if live else ()
    return (*steps, Step("everything", 0, switch, plan.everything.longest))
