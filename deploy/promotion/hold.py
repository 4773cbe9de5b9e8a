"""Hold on a promotion: its holder writes the records, one a step, and is told when it holds it no longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bundle.registry.generation import Change, Generation, PromotionState
from bundle.registry.promotions import running
from deploy.errors import LeaseLost, PromotionEnded
from deploy.gates.outcome import GateResult
from deploy.promotion.reasons import one_line
from deploy.promotion.records import kept_result
from deploy.promotion.scene import Scene
from deploy.promotion.steps import Phase, Step

Build = Callable[[Generation, PromotionState, Change], Generation]


class _Written(Exception):
    """An earlier try has written the record, and its answer was lost."""

    def __init__(self, now: Generation) -> None:
        super().__init__()
        self.now = now


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the next record is to say of the promotion."""

    phase: Phase
    index: int
    """Number of the step within the phase"""
    reason: str
    passed: Step
    """The step that ends with it"""
    results: tuple[GateResult, ...]
    """Of that step"""
    why: str | None = None
    """Why it is rolled back"""


class Hold:
    """The hold of one promoter on one promotion, for one term."""

    def __init__(self, scene: Scene, now: Generation) -> None:
        """`now`: the record that names this promoter as the holder."""
        state = now.promotion
        if state is None:
            raise ValueError(f"generation {now.number} has no promotion")
        self._scene = scene
        self.id, self.term, self.holder = state.id, state.term, state.holder
        self.now = now
        """The newest record that is known"""

    @property
    def state(self) -> PromotionState:
        """The promotion as the newest known record has it."""
        return self._held(self.now)

    def note(self, now: Generation) -> None:
        """Take a record that has been read. Raises LeaseLost, and PromotionEnded if it runs no more."""
        self._require(now)
        self.now = now

    def is_over(self) -> bool:
        """Whether somebody has ended it, or taken it over; False while the registry does not answer."""
        try:
            self.note(self._scene.look(self.now).generation)
        except (LeaseLost, PromotionEnded):
            return True
        return False

    def find_end(self) -> Generation:
        """The record with which the promotion ended. Raises a RegistryError."""
        now = self.now
        while (later := self._scene.log.after(now.number)) is not None:
            now = later
            state = running(now)
            if state is None or state.id != self.id:
                break
        return now

    def write(self, ahead: Ahead, build: Build) -> None:
        """One record: the promotion with its results, and what `build` makes of the fleet. Raises LeaseLost,
        PromotionEnded, what `build` raises, and a RegistryError."""
        at = self._scene.clock()

        def following(now: Generation | None) -> Generation:
            held = self._require(now)
            if now is None or (held.phase, held.step) == (ahead.phase, ahead.index):
                raise _Written(now or self.now)
            kept = tuple(kept_result(one, at, ahead.passed) for one in ahead.results)
            state = replace(
                held,
                phase=ahead.phase,
                step=ahead.index,
                since=at,
                results=(*held.results, *kept),
                why=None if ahead.why is None else one_line(ahead.why),
            )
            reason = one_line(f"promotion {self.id}: {ahead.reason}")
            return build(now, state, Change(at, held.started.by, reason, self.id))

        try:
            self.now = self._scene.log.change(following)
        except _Written as written:
            self.now = written.now
        self._scene.call()

    def _require(self, now: Generation | None) -> PromotionState:
        held = self._held(now)
        if running(now) is None:
            raise PromotionEnded(f"the promotion {self.id} was ended while it ran")
        if held.term != self.term:
            raise LeaseLost(
                f"the promotion {self.id} was taken over by {held.holder}, since this promoter gave no sign "
                "of life in time; that one leads it to its end"
            )
        return held

    def _held(self, now: Generation | None) -> PromotionState:
        state = None if now is None else now.promotion
        if state is None or state.id != self.id:
            raise PromotionEnded(f"the promotion {self.id} was ended, and another change has followed")
        return state
