"""How far training is, what that means for the learning rate, and how it keeps to a time budget."""

from __future__ import annotations

import math


class Schedule:
    """Warm-up, then a cosine to zero, over a planned number of steps.

    A time budget shortens the plan where, at an epoch's end, the pace of that epoch would overrun it,
    and lengthens it again, up to the plan, where a slow spell is over; the learning rate comes down to
    zero all the same. While the plan holds, the clock changes nothing, so a run that its budget does not
    bind is repeatable to the bit.
    """

    def __init__(self, steps: int, *, lr: float, warmup: float, time_budget_s: float | None) -> None:
        self.planned = steps
        self.steps = steps
        """Now planned; at most `planned`."""
        self._lr = lr
        self._warmup = warmup
        self._budget = time_budget_s
        self._last_look = (0, 0.0)
        self.was_shortened = False
        """At any time, so that another run may differ."""

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        progress = min((step + 1) / self.steps, 1.0)
        if progress < self._warmup:
            return self._lr * progress / self._warmup
        return self._lr * 0.5 * (1.0 + math.cos(math.pi * (progress - self._warmup) / (1.0 - self._warmup)))

    def keep_to_budget(self, steps_done: int, elapsed_s: float) -> None:
        """Plan the rest again, from the pace since the last call."""
        if self._budget is None:
            return
        steps_before, seconds_before = self._last_look
        steps, seconds = steps_done - steps_before, elapsed_s - seconds_before
        if steps <= 0 or seconds <= 0.0:
            return
        self._last_look = (steps_done, elapsed_s)
        affordable = steps_done + int(max(0.0, self._budget - elapsed_s) * steps / seconds)
        self.steps = min(self.planned, affordable)
        self.was_shortened |= self.steps < self.planned

    def resume(self, steps: int, shortened: bool, steps_done: int, elapsed_s: float) -> None:
        """Take up the plan of an interrupted run."""
        self.steps = steps
        self.was_shortened = shortened
        self._last_look = (steps_done, elapsed_s)

    def seconds_left(self, steps_done: int, elapsed_s: float) -> float:
        """At the pace so far."""
        return elapsed_s / max(steps_done, 1) * max(self.steps - steps_done, 0)
