"""State machine of a promotion: one step, what was seen of it, and what follows. Pure: it reads no clock.

A step is passed when one look finds every one of its gates passed, within its time. Everything else waits, or
ends in a rollback: a failed gate at once, and no data, an error and a decision that is still open when the
time is over. There is no other way to the next step, and the last step has no other way to `promoted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.gates.outcome import GateResult
from deploy.promotion.steps import Step
from monitoring.alerts.durations import in_words


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a step."""

    results: tuple[GateResult, ...]
    """What each gate says; a gate may be absent"""
    elapsed: float
    """Seconds since the step began"""
    fault: str | None = None
    """Why the look could not see everything: an error, in words"""
    withdrawn: str | None = None
    """Why the newcomer is not where the step has put it; None: it is"""


@dataclass(frozen=True, slots=True)
class Wait:
    """The step goes on."""

    text: str
    """What it waits for"""


@dataclass(frozen=True, slots=True)
class Advance:
    """The step is passed, and `step` begins."""

    step: Step


@dataclass(frozen=True, slots=True)
class Finish:
    """The last step is passed: the newcomer is promoted."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """The promotion ends, and what it has done is undone."""

    why: str


Action = Wait | Advance | Finish | RollBack


def next_step(steps: Sequence[Step], position: int, seen: Observation) -> Action:
    """What follows from one look at `steps[position]`."""
    step = steps[position]
    if seen.withdrawn is not None:
        return RollBack(f"{step.name}: the newcomer was withdrawn: {seen.withdrawn}")
    failed = next((one for one in seen.results if one.outcome == "failed"), None)
    if failed is not None:
        return RollBack(f"{step.name}: {failed.gate} has failed: {failed.text}")
    awaited = _awaited(step, seen)
    if step.longest is None:
        if awaited is not None:
            return RollBack(f"{step.name}: {awaited}; what is not passed does not go into service")
    elif not seen.elapsed <= step.longest:
        return RollBack(
            f"{step.name}: its time of {in_words(step.longest)} is over, and it has not passed: "
            f"{awaited or 'it was passed too late'}"
        )
    elif awaited is not None:
        return Wait(awaited)
    return Advance(steps[position + 1]) if position + 1 < len(steps) else Finish()


def _awaited(step: Step, seen: Observation) -> str | None:
    """What a step still needs; None: nothing."""
    if seen.fault is not None:
        return seen.fault
    for one in seen.results:
        if one.outcome != "passed":
            return f"{one.gate}: {one.text}"
    said = {one.gate for one in seen.results}
    absent = [gate for gate in step.gates if gate not in said]
    return f"no result of {', '.join(absent)}" if absent else None
