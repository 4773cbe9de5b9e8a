"""Schedule of a training: learning rate, size of the views, and number of steps within a time budget."""

from __future__ import annotations

import math
from bisect import bisect_right

FULL_SIZE_AT = 0.7
"""Share of the steps after which growing views reach their full size."""
SIDE_STEP = 8
"""Sides of growing views are multiples of this many pixels, which suits the networks' halvings."""


class Schedule:
    """Warm-up, then a cosine to zero, over a planned number of steps.

    A time budget shortens the plan if, at the end of an epoch, the speed of that epoch would overrun it, and
    lengthens it again, up to the original plan, after a slow period; the learning rate always reaches zero.
    While the plan holds, the clock changes nothing, so a run within its budget is repeatable to the bit.

    Views may start small and grow (progressive resizing, as in Howard's fast.ai entry to DAWNBench, 2018,
    and EfficientNetV2, arXiv 2104.00298, section 4): most of what a network learns early is visible in fewer
    pixels as well, at a fraction of the work.
    """

    def __init__(
        self,
        steps: int,
        *,
        lr: float,
        warmup: float,
        time_budget_s: float | None,
        first_views: float = 1.0,
        least_steps: int = 1,
    ) -> None:
        """`first_views`: share of the full side at which views start. `least_steps`: the time budget never
        takes these."""
        self.planned = steps
        self.steps = steps
        """Steps planned now; at most `planned`"""
        self._lr = lr
        self._warmup = warmup
        self._budget = time_budget_s
        self._first_views = first_views
        self._least = min(least_steps, steps)
        self._last_update = (0, 0.0)
        self.was_shortened = False
        """Whether the clock ever shortened the plan, so that another run may differ"""
        self.ends_early = False
        """Whether the plan was cut because nothing was gained any more; another run is cut alike"""

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        progress = min((step + 1) / self.steps, 1.0)
        if progress < self._warmup:
            return self._lr * progress / self._warmup
        return self._lr * 0.5 * (1.0 + math.cos(math.pi * (progress - self._warmup) / (1.0 - self._warmup)))

    def side(self, step: int, full: int) -> int:
        """Pixels per side of the views of step 0, 1, ...; `full` is their side in the end."""
        return view_side(full, self._first_views, step / self.steps)

    def keep_to_budget(self, steps_done: int, elapsed_s: float) -> None:
        """Plan the remaining steps from the speed since the last call."""
        if self._budget is None:
            return
        steps_before, seconds_before = self._last_update
        steps, seconds = steps_done - steps_before, elapsed_s - seconds_before
        if steps <= 0 or seconds <= 0.0:
            return
        self._last_update = (steps_done, elapsed_s)
        done = self._work(steps_before, steps_done, self.steps)
        affordable = max(0.0, self._budget - elapsed_s) * done / seconds
        more = range(1, self.planned - steps_done + 1)
        self.steps = steps_done + bisect_right(
            more, affordable, key=lambda n: self._work(steps_done, steps_done + n, steps_done + n)
        )
        self.steps = max(self.steps, self._least)
        self.was_shortened |= self.steps < self.planned

    def end_within(self, steps_done: int, steps: int) -> None:
        """Cut the plan to `steps` more than `steps_done`, for good; the rate falls to zero in them."""
        self.planned = self.steps = min(self.steps, steps_done + steps)
        self._least = min(self._least, self.steps)
        self.ends_early = True

    def work_of(self, step: int) -> float:
        """Work of step 0, 1, ... relative to one with views of full size."""
        return view_share(self._first_views, step / self.steps) ** 2

    def _work(self, first: int, last: int, steps: int) -> float:
        """Work of the steps from `first` to before `last`, of `steps` in all; a full-size step counts 1."""
        growing = min(max(int(FULL_SIZE_AT * steps) + 1, first), last) if self._first_views < 1.0 else first
        rise = (1.0 - self._first_views) / (FULL_SIZE_AT * steps)
        return last - growing + _sum_of_squares(self._first_views, rise, first, growing)

    def resume(
        self, steps: int, shortened: bool, steps_done: int, elapsed_s: float, *, ends_early: bool = False
    ) -> None:
        """Restore the plan of an interrupted run."""
        self.steps = steps
        if ends_early:
            self.end_within(steps, 0)
        self.was_shortened = shortened
        self._last_update = (steps_done, elapsed_s)

    def seconds_left(self, steps_done: int, elapsed_s: float) -> float:
        """Seconds left at the speed so far, measured in work, since larger views make later steps slower."""
        done = self._work(0, max(steps_done, 1), self.steps)
        return elapsed_s / done * self._work(steps_done, max(self.steps, steps_done), self.steps)


def _sum_of_squares(start: float, rise: float, first: int, last: int) -> float:
    """Sum of (start + rise * s)^2 for s from `first` to before `last`."""

    def up_to(n: int) -> float:
        ones, s, squares = n, n * (n - 1) / 2, (n - 1) * n * (2 * n - 1) / 6
        return start**2 * ones + 2 * start * rise * s + rise**2 * squares

    return up_to(last) - up_to(first)


def view_share(first: float, progress: float) -> float:
    """Share of the full side of views at `progress`, in [0, 1], that start at the share `first`."""
    return first + (1.0 - first) * min(progress / FULL_SIZE_AT, 1.0)


def view_side(full: int, first: float, progress: float) -> int:
    """The same in pixels of a side `full`, in multiples of `SIDE_STEP`."""
    share = view_share(first, progress)
    return full if share >= 1.0 else min(full, SIDE_STEP * max(1, round(full * share / SIDE_STEP)))


def mean_work(first: float) -> float:
    """Work of a whole training with growing views, relative to one at full size throughout."""
    growing = (1.0 - first**3) / (3.0 * (1.0 - first)) if first < 1.0 else 1.0
    return FULL_SIZE_AT * growing + 1.0 - FULL_SIZE_AT
