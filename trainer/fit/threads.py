"""Number of threads that training computes with, chosen by measuring and checked again.

Torch splits every kernel between its threads and waits for the slowest. If another process takes one core,
two threads on two cores therefore train slower than one: 1,200 images/s instead of 4,100, beside 10,200 and
5,600 on the quiet machine. So some steps are timed with 1 to all cores, and again when the throughput
falls. The number of threads decides how sums are rounded, so it is recorded: one seed and one number of
threads give one result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

WORTH_MEASURING_S = 20.0
"""Seconds of planned training; a shorter one is not measured and uses all threads."""
TRIAL_S, ROUNDS = 0.15, 2
"""Least seconds of a trial, and trials per number of threads, in turn, so that short disturbances average"""
GAIN = 1.1
"""Throughput relative to the present number of threads that a change needs"""
FALL = 0.75
"""Throughput relative to the best so far below which the threads are measured again"""
WINDOW_S = 5.0
"""Seconds over which the throughput is watched"""
LARGEST_OVERHEAD = 0.03
"""Share of the time that measuring again may take"""


@dataclass(frozen=True, slots=True)
class ThreadChange:
    """A number of threads and the step from which it computes."""

    step: int
    threads: int


def candidates(most: int) -> tuple[int, ...]:
    """Numbers of threads to try: the powers of two below `most`, and `most`."""
    powers = [2**k for k in range(most.bit_length()) if 2**k < most]
    return (*powers, most)


@contextmanager
def thread_count_restored() -> Iterator[None]:
    """Restore torch's number of threads after the block."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ThreadTuner:
    """Chooses the number of threads of one training and changes it if another becomes faster."""

    def __init__(
        self,
        trial: Callable[[], object],
        *,
        fixed: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`trial`: the work of one step, which must leave no trace in the training.

        `fixed`: a configured number of threads, which is never changed.
        """
        self.changes: list[ThreadChange] = []
        """Every number of threads so far, in order"""
        self._trial = trial
        self._fixed = fixed
        self._clock = clock
        self._most = torch.get_num_threads()
        self._cost_s = 0.0
        self._measured_at = clock()
        self._restart_window()
        self._best_rate = 0.0

    @property
    def threads(self) -> int:
        return self.changes[-1].threads

    def start(self, planned_steps: int, resumed: Sequence[ThreadChange] = ()) -> None:
        """Choose before the first step, or take up the choice of an interrupted run."""
        if planned_steps <= 0:
            self.changes = list(resumed)
        elif self._fixed is not None:
            self._use(0, self._fixed)
        elif resumed:
            self.changes = list(resumed)
            torch.set_num_threads(self.threads)
        else:
            self._use(0, self._most)
            if self._most > 1 and self._seconds_of_one() * planned_steps >= WORTH_MEASURING_S:
                self._measure(0)
        self._restart_window()

    def after_step(self, step: int, work: float = 1.0) -> None:
        """Watch the throughput. `step`: steps done; `work` of the last one, in full-size steps."""
        self._work += work
        now = self._clock()
        seconds = now - self._window_from
        if self._fixed is not None or self._most == 1 or seconds < WINDOW_S:
            return
        rate = self._work / seconds
        fell = rate < FALL * self._best_rate
        self._best_rate = max(self._best_rate, rate)
        # With fewer threads than cores, the machine may have become quiet again.
        if (fell or self.threads < self._most) and self._cost_s <= LARGEST_OVERHEAD * (
            now - self._measured_at
        ):
            self._measure(step)
            self._best_rate = 0.0
        self._restart_window()

    def _measure(self, step: int) -> None:
        """Time every candidate and use the fastest one, if it is faster by more than chance."""
        present, began = self.threads, self._clock()
        seconds = dict.fromkeys(candidates(self._most), 0.0)
        steps = dict.fromkeys(seconds, 0)
        for _ in range(ROUNDS):
            for count in seconds:
                torch.set_num_threads(count)
                self._trial()
                start = self._clock()
                while (spent := self._clock() - start) < TRIAL_S:
                    self._trial()
                    steps[count] += 1
                seconds[count] += spent
        rates = {count: steps[count] / seconds[count] for count in seconds}
        fastest = max(rates, key=lambda count: rates[count])
        self._use(step, fastest if rates[fastest] > GAIN * rates[present] else present)
        self._measured_at = self._clock()
        self._cost_s = self._measured_at - began

    def _seconds_of_one(self) -> float:
        self._trial()
        start = self._clock()
        self._trial()
        return self._clock() - start

    def _use(self, step: int, count: int) -> None:
        torch.set_num_threads(count)
        if step == 0:
            self.changes = [ThreadChange(0, count)]
        elif count != self.threads:
            self.changes.append(ThreadChange(step, count))

    def _restart_window(self) -> None:
        self._window_from, self._work = self._clock(), 0.0
