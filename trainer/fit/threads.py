"""Number of threads that torch computes with, chosen by measuring and checked again.

Training, pretraining and the features of a frozen backbone all choose theirs here. Torch splits every
kernel between its threads and waits for the slowest. If another process takes one core, two threads on two
cores therefore train slower than one: 1,200 images/s instead of 4,100, beside 10,200 and 5,600 on the quiet
machine. So some steps are timed with 1 to all cores, and again when the throughput falls. The number of
threads decides how sums are rounded, so it is recorded: one seed and one number of threads give one result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

WORTH_MEASURING_S = 20.0
"""Seconds of planned work; shorter work is not measured and uses all threads."""
TRIAL_IMAGES = 32
"""Most images of a trial if a step takes seconds"""
TRIAL_S, ROUNDS = 0.15, 2
"""Least seconds of a trial, and trials per number of threads, in turn, so that short disturbances average"""
GAIN = 1.1
"""Throughput relative to the present number of threads that a change needs"""
FALL = 0.75
"""Throughput relative to the best so far below which the threads are measured again"""
WINDOW_S = 5.0
"""Seconds over which the throughput is watched"""
OVERHEAD_ON_HOPE, OVERHEAD_ON_FALL = 0.05, 0.1
"""Share of the time that measuring again may take: in case the machine is quiet again, and after a fall of
the throughput, which costs more"""


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


@contextmanager
def without_trace(model: nn.Module) -> Iterator[None]:
    """For a trial: restore batch statistics and random states after the block, and drop the gradients."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        yield
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(kept[name])


def numbers_of(changes: Iterable[ThreadChange]) -> tuple[int, ...]:
    """The numbers of threads in their order, each run of equal ones once."""
    return tuple(count for count, _ in groupby(change.threads for change in changes))


def several_numbers(work: str, counts: Sequence[int]) -> str | None:
    """A sentence for the user if some work changed its number of threads; None for one number."""
    if len(counts) < 2:
        return None
    return (
        f"{work} computed on {', then '.join(map(str, counts))} threads, since other processes took cores; "
        "another run may differ in the last digits"
    )


class ThreadTuner:
    """Chooses the number of threads of some work and changes it if another becomes faster."""

    def __init__(
        self,
        trial: Callable[[], object],
        *,
        fixed: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`trial`: the work of one step, or a part of it, which must leave no trace in the result.

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

    def start(self, planned_trials: float, resumed: Sequence[ThreadChange] = ()) -> None:
        """Choose before the first step, or take up the choice of earlier work.

        `planned_trials`: all the work that is left, in units of a trial.
        """
        if planned_trials <= 0:
            self.changes = list(resumed)
        elif resumed:
            self.changes = list(resumed)
            torch.set_num_threads(self.threads)
        elif self._fixed is not None:
            self._use(0, self._fixed)
        else:
            self._use(0, self._most)
            if self._most > 1 and self._seconds_of_one() * planned_trials >= WORTH_MEASURING_S:
                self._measure(0)
        self._restart_window()

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Leave the time of the block out of the throughput: it is work of another kind."""
        began = self._clock()
        yield
        self._window_from += self._clock() - began

    def after_step(self, step: int, work: float = 1.0) -> None:
        """Watch the throughput. `step`: steps done; `work` of the last one, in any unit."""
        self._work += work
        now = self._clock()
        seconds = now - self._window_from
        if self._fixed is not None or self._most == 1 or seconds < WINDOW_S:
            return
        rate = self._work / seconds
        fell = rate < FALL * self._best_rate
        self._best_rate = max(self._best_rate, rate)
        # With fewer threads than cores, the machine may have become quiet again.
        overhead = OVERHEAD_ON_FALL if fell else OVERHEAD_ON_HOPE if self.threads < self._most else 0.0
        if overhead and self._cost_s <= overhead * (now - self._measured_at):
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
