"""The number of threads follows the machine: simulated quiet and busy ones, and a real training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from trainer.fit import threads
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT, ComputeConfig
from trainer.fit.loop import FitResult, fit
from trainer.fit.threads import (
    ThreadChange,
    ThreadTuner,
    candidates,
    numbers_of,
    several_numbers,
    thread_count_restored,
)
from trainer.models import ModelConfig, build_model

QUIET = {1: 0.010, 2: 0.006}
BUSY = {1: 0.014, 2: 0.050}
"""Seconds per step by number of threads, as measured on two cores beside one busy process"""


class Machine:
    """A clock that runs as fast as the machine computes with torch's present number of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.now = 0.0

    def step(self) -> None:
        self.now += self.seconds[torch.get_num_threads()]

    def clock(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    with thread_count_restored():
        torch.set_num_threads(2)
        yield


def train(tuner: ThreadTuner, machine: Machine, steps: range) -> float:
    """Seconds of some steps of training."""
    start = machine.now
    for step in steps:
        machine.step()
        tuner.after_step(step + 1)
    return machine.now - start


@pytest.mark.parametrize(("seconds", "chosen"), [(QUIET, 2), (BUSY, 1)])
def test_the_fastest_number_is_used_and_recorded(seconds: dict[int, float], chosen: int) -> None:
    machine = Machine(seconds)
    tuner = ThreadTuner(machine.step, clock=machine.clock)
    tuner.start(10_000)
    assert torch.get_num_threads() == tuner.threads == chosen
    assert tuner.changes == [ThreadChange(0, chosen)]


def test_a_neighbour_that_comes_and_goes_costs_little() -> None:
    machine = Machine(QUIET)
    tuner = ThreadTuner(machine.step, clock=machine.clock)
    tuner.start(30_000)
    train(tuner, machine, range(10_000))
    assert tuner.threads == 2
    machine.seconds = BUSY
    spent = train(tuner, machine, range(10_000, 20_000))
    assert tuner.threads == 1
    assert 10_000 * BUSY[1] / spent > 0.9
    machine.seconds = QUIET
    spent = train(tuner, machine, range(20_000, 30_000))
    assert tuner.threads == 2
    assert 10_000 * QUIET[2] / spent > 0.8
    assert [change.threads for change in tuner.changes] == [2, 1, 2]


def test_a_neighbour_soon_after_the_start_is_noticed_soon() -> None:
    machine = Machine(QUIET)
    tuner = ThreadTuner(machine.step, clock=machine.clock)
    tuner.start(30_000)
    train(tuner, machine, range(1_000))
    machine.seconds = BUSY
    began = machine.now
    while tuner.threads == 2:
        train(tuner, machine, range(1_000, 1_001))
    assert machine.now - began < 15.0


def test_a_quiet_machine_loses_at_most_a_percent() -> None:
    machine = Machine(QUIET)
    tuner = ThreadTuner(machine.step, clock=machine.clock)
    tuner.start(30_000)
    train(tuner, machine, range(30_000))
    assert 30_000 * QUIET[2] / machine.now > 0.99
    assert tuner.changes == [ThreadChange(0, 2)]


def test_a_configured_number_is_never_changed_and_a_short_training_not_measured() -> None:
    machine = Machine(BUSY)
    fixed = ThreadTuner(machine.step, fixed=2, clock=machine.clock)
    fixed.start(10_000)
    train(fixed, machine, range(1000))
    assert fixed.changes == [ThreadChange(0, 2)]
    short = ThreadTuner(machine.step, clock=machine.clock)
    short.start(100)
    assert short.changes == [ThreadChange(0, 2)]


def test_an_interrupted_run_takes_up_its_number() -> None:
    machine = Machine(QUIET)
    tuner = ThreadTuner(machine.step, clock=machine.clock)
    tuner.start(10_000, [ThreadChange(0, 2), ThreadChange(700, 1)])
    assert torch.get_num_threads() == 1
    assert machine.now == 0.0


def test_work_of_another_kind_is_not_taken_for_a_fall() -> None:
    machine = Machine(QUIET)
    tuner = ThreadTuner(machine.step, clock=machine.clock)
    tuner.start(10_000)
    train(tuner, machine, range(1000))
    before = machine.now
    for _ in range(20):
        with tuner.not_counted():
            machine.now += 4.0  # an evaluation
        train(tuner, machine, range(100))
    # No second was spent on measuring again.
    assert machine.now - before == pytest.approx(20 * (4.0 + 100 * QUIET[2]))


def test_an_interrupted_run_keeps_its_number_though_another_is_configured_now() -> None:
    machine = Machine(QUIET)
    tuner = ThreadTuner(machine.step, fixed=2, clock=machine.clock)
    tuner.start(10_000, [ThreadChange(0, 1)])
    assert (torch.get_num_threads(), tuner.changes) == (1, [ThreadChange(0, 1)])


def test_numbers_in_their_order() -> None:
    changes = [ThreadChange(0, 2), ThreadChange(9, 1), ThreadChange(0, 1), ThreadChange(5, 2)]
    assert numbers_of(changes) == (2, 1, 2)
    assert several_numbers("Pretraining", (2,)) is None
    assert "computed on 2, then 1 threads" in str(several_numbers("Pretraining", (2, 1)))


def test_candidates_are_powers_of_two_and_all_cores() -> None:
    assert candidates(1) == (1,)
    assert candidates(2) == (1, 2)
    assert candidates(6) == (1, 2, 4, 6)
    assert candidates(16) == (1, 2, 4, 8, 16)


def real_training(compute: ComputeConfig) -> FitResult:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (96, 16, 16, 3), generator=generator, dtype=torch.uint8)
    images = LabelledPixels(pixels, torch.arange(96) % 2)
    data = FitData(images, images, ((0.5,) * 3, (0.25,) * 3))
    model = build_model(ModelConfig(name="resnet-small", width=4, dropout=0.2), 16, 2)
    config = LoopConfig(epochs=2, batch_size=32, first_views=0.5)
    return fit(model, data, config, compute=compute)


def test_measuring_leaves_no_trace_in_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORTH_MEASURING_S", 0.0)
    measured = real_training(EXACT)
    (count,) = numbers_of(measured.threads)
    assert count in (1, 2)
    fixed = real_training(EXACT.model_copy(update={"threads": count}))
    assert numbers_of(fixed.threads) == (count,)
    assert measured.history == fixed.history
    pairs = zip(measured.model.state_dict().values(), fixed.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert torch.get_num_threads() == 2
