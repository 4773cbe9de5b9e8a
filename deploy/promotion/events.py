"""Events of a promotion: what is told to those who watch it, as it happens, and how it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bundle.registry.generation import Generation
from deploy.gates.outcome import GateResult
from deploy.promotion.steps import Phase, Step

Kind = Literal["began", "result", "waits", "passed", "rolled-back", "promoted", "note"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened."""

    at: float
    """Unix time, seconds"""
    kind: Kind
    phase: Phase
    step: int
    """Number of the step within its phase, from 0"""
    text: str
    """One line"""
    result: GateResult | None = None
    """Of `result`"""
    waits_for: str | None = None
    """Of `waits`: what is not there yet"""
    until: float | None = None
    """Of `began` and `waits`: Unix time at which the step ends in a rollback; None: one look decides"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a promotion has ended."""

    id: str
    phase: Literal["promoted", "rolled-back"]
    why: str | None
    """Why it was rolled back"""
    generation: int
    """Number of the record that says so"""
    results: tuple[dict[str, Any], ...] = ()
    """Every result of its gates, in order"""


def ended_outcome(now: Generation, promotion: str) -> Outcome:
    """How a promotion has ended. `now`: the record with which it ended."""
    state, change = now.promotion, now.change
    if state is None or state.id != promotion:
        return Outcome(promotion, "rolled-back", f"{change.by}: {change.reason}", now.number)
    why = state.why or f"{change.by}: {change.reason}"
    results = tuple(dict(one) for one in state.results)
    if state.phase == "promoted":
        return Outcome(promotion, "promoted", None, now.number, results)
    return Outcome(promotion, "rolled-back", why, now.number, results)


def unseen(event: Event) -> None:
    """Nobody watches."""


class Teller:
    """Tells what happens in a promotion; what it waits for once, until that changes."""

    def __init__(self, on: Callable[[Event], None], clock: Callable[[], float]) -> None:
        """`clock`: Unix time, seconds."""
        self._on, self._clock = on, clock
        self._said: str | None = None

    def began(self, step: Step, now: Generation, left: float | None) -> None:
        """A step has begun with the record `now`. `left`: seconds that it may take."""
        self._said = None
        text = f"{step.name} begins (generation {now.number})"
        self._on(Event(self._clock(), "began", step.phase, step.index, text, until=self._until(left)))

    def result(self, step: Step, result: GateResult) -> None:
        """A gate has a result."""
        text = f"{result.gate}: {result.outcome}: {result.text}"
        self._on(Event(self._clock(), "result", step.phase, step.index, text, result))

    def results(self, step: Step, results: Sequence[GateResult]) -> None:
        """The results with which a step ends; those of gates that run here have been told."""
        for one in results if step.phase != "gates" else ():
            self.result(step, one)

    def waits(self, step: Step, what: str, left: float | None) -> None:
        """A step waits."""
        if what == self._said:
            return
        self._said = what
        event = Event(self._clock(), "waits", step.phase, step.index, f"{step.name} waits: {what}")
        self._on(replace(event, waits_for=what, until=self._until(left)))

    def passed(self, step: Step, results: Sequence[GateResult]) -> None:
        """A step is passed."""
        self.results(step, results)
        self._on(Event(self._clock(), "passed", step.phase, step.index, f"{step.name} is passed"))

    def ended(self, outcome: Outcome) -> None:
        """The promotion has ended."""
        text = f"promotion {outcome.id} is {outcome.phase} (generation {outcome.generation})"
        if outcome.why is not None:
            text += f": {outcome.why}"
        self._on(Event(self._clock(), outcome.phase, outcome.phase, 0, text))

    def note(self, step: Step, text: str) -> None:
        """Something that changes nothing."""
        self._on(Event(self._clock(), "note", step.phase, step.index, text))

    def _until(self, left: float | None) -> float | None:
        return None if left is None else self._clock() + left
