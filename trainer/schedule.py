"""How far training is, what that means for the learning rate, and how it keeps to a time budget."""

from __future__ import annotations

import math


class Schedule:
    """Warm-up, then a cosine to zero, over a planned number of steps.

    A time budget shortens the plan where, at an epoch's end, the pace so far would overrun it; the
    learning rate then still comes down to zero. While the plan holds, the clock changes nothing, so a
    run that its budget does not bind is repeatable to the bit.
    """

    def __init__(self, steps: int, *, lr: float, warmup: float, time_budget_s: float | None) -> None:
        self.planned = steps
        self.steps = steps
        """Now planned; at most `planned`."""
        self._lr = lr
        self._warmup = warmup
        self._budget = time_budget_s

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        progress = min((step + 1) / self.steps, 1.0)
        if progress < self._warmup:
            return self._lr * progress / self._warmup
        return self._lr * 0.5 * (1.0 + math.cos(math.pi * (progress - self._warmup) / (1.0 - self._warmup)))

    def keep_to_budget(self, steps_done: int, elapsed_s: float) -> None:
        """Plan again, from the pace of the steps done so far."""
        if self._budget is None or steps_done == 0 or elapsed_s <= 0.0:
            return
        affordable = int(steps_done * self._budget / elapsed_s)
        self.steps = max(steps_done, min(self.planned, affordable))

    @property
    def is_shortened(self) -> bool:
        return self.steps < self.planned

    def seconds_left(self, steps_done: int, elapsed_s: float) -> float:
        """At the pace so far."""
        return elapsed_s / max(steps_done, 1) * max(self.steps - steps_done, 0)
