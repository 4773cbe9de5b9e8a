"""Latency, memory and start: outcomes from figures that are given, and real measurements of any outcome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.forged_bundle import forge
from fakes.tiny_bundle import write_tiny_bundle

from bundle.engines.contract import DEFAULT_KEY
from calibration.scores import FloatArray
from deploy.errors import GateUndecided
from deploy.gates.measure import ROUNDS, Start, measured_latencies, measured_starts
from deploy.gates.outcome import GateResult
from deploy.gates.plan import SpeedGate
from deploy.gates.served import Served
from deploy.gates.speed import ask_latency, ask_start, latency_result, memory_result, start_result


def quiet(seed: int, factor: float = 1.0) -> FloatArray:
    """[100, 10] latencies around 10 ms, seconds."""
    return factor * np.random.default_rng(seed).gamma(400.0, 0.010 / 400.0, (100, 10))


def noisy(seed: int) -> FloatArray:
    """The same on a machine that stands still now and then."""
    seconds = quiet(seed)
    seconds[np.random.default_rng(seed).random(100) < 0.02] *= 100.0
    return seconds


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [(0.5, "passed"), (1.0, "passed"), (1.4, "passed"), (1.6, "failed"), (9.0, "failed")],
)
def test_latency_is_held_against_the_champion(factor: float, outcome: str) -> None:
    result = latency_result([quiet(1, factor), quiet(2)], SpeedGate())
    assert result.outcome == outcome
    assert result.limit == 1.5
    assert result.figure == pytest.approx(factor, rel=0.05)


def test_a_budget_is_held_in_milliseconds_and_the_worst_outcome_counts() -> None:
    assert latency_result([quiet(1)], SpeedGate(p99=20.0)).outcome == "passed"
    found = latency_result([quiet(1), quiet(2)], SpeedGate(p99=5.0))
    assert (found.outcome, found.limit) == ("failed", 5.0)
    assert "1.5" in found.text


def test_a_noisy_machine_decides_nothing_and_says_so() -> None:
    outcomes = {latency_result([noisy(seed), noisy(seed + 100)], SpeedGate()).outcome for seed in range(10)}
    assert "inconclusive" in outcomes
    both = [quiet(1), quiet(2)]
    both[0][:1] *= 100.0  # a hundredth of the images, which a resample has or has not
    result = latency_result(both, SpeedGate())
    assert result.outcome == "inconclusive"
    assert "gates.leave_out: [latency]" in result.text


def test_bursts_that_both_feel_are_no_difference() -> None:
    busy = np.repeat(1.0 + 5.0 * (np.random.default_rng(0).random(100) < 0.2), 10).reshape(100, 10)
    assert latency_result([quiet(1) * busy, quiet(2) * busy], SpeedGate()).outcome == "passed"


def test_the_distributions_are_kept_for_the_report() -> None:
    shown = latency_result([quiet(1), quiet(2)], SpeedGate()).details["milliseconds"]
    assert sum(shown["newcomer"]["counts"]) == sum(shown["champion"]["counts"]) == 1000
    assert len(shown["edges"]) == len(shown["newcomer"]["counts"]) + 1
    assert shown["newcomer"]["p50"] == pytest.approx(10.0, rel=0.05)


def rounds(*values: float) -> list[Start]:
    return [Start(seconds=value, memory=100.0 * value) for value in values]


CHAMPION = rounds(1.0, 1.1, 0.9, 1.0, 1.1, 0.9)


def both(newcomer: list[Start], gate: SpeedGate) -> tuple[GateResult, GateResult]:
    return memory_result([newcomer, CHAMPION], gate), start_result([newcomer, CHAMPION], gate)


def test_rounds_decide_where_all_of_them_agree() -> None:
    gate = SpeedGate(memory_ratio=1.5, start_ratio=1.5)
    assert {one.outcome for one in both(CHAMPION, gate)} == {"passed"}
    assert {one.outcome for one in both(rounds(2, 2, 2, 2, 2, 2), gate)} == {"failed"}
    assert {one.outcome for one in both(rounds(1, 1, 1, 1, 2, 1), gate)} == {"inconclusive"}


def test_budgets_need_no_champion() -> None:
    assert memory_result([CHAMPION], SpeedGate(memory=200)).outcome == "passed"
    assert start_result([CHAMPION], SpeedGate(start=500)).outcome == "failed"
    assert start_result([CHAMPION], SpeedGate(start=1000)).outcome == "inconclusive"


def test_real_bundles_are_measured(tiny_bundle: Path) -> None:
    served = Served("newcomer", tiny_bundle, DEFAULT_KEY)
    (result,) = ask_latency(served, served, SpeedGate(seconds=60), say=lambda _: None)
    assert result.details["images"] >= 300
    memory, start = ask_start(served, None, SpeedGate(memory=1, start=1), 240.0, say=lambda _: None)
    assert (memory.outcome, start.outcome) == ("failed", "failed")
    assert [len(one.details[unit]["newcomer"]) for one, unit in ((memory, "MiB"), (start, "ms"))] == [
        ROUNDS
    ] * 2


def test_too_little_time_and_no_images_are_said(tiny_bundle: Path, tmp_path: Path) -> None:
    served = Served("newcomer", tiny_bundle, DEFAULT_KEY)
    with pytest.raises(GateUndecided, match=r"gates\.speed\.seconds"):
        measured_latencies([served], 0.0, say=lambda _: None)
    forge(write_tiny_bundle(tmp_path / "bare"), lambda content: content.update(golden=[]))
    with pytest.raises(GateUndecided, match="golden cases"):
        measured_latencies([Served("newcomer", tmp_path / "bare", DEFAULT_KEY)], 1.0, say=lambda _: None)


def test_a_bundle_that_does_not_start_is_named(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "tiny")
    (folder / "bundle.json").write_text("{}")
    with pytest.raises(GateUndecided, match="the champion cannot be opened"):
        measured_starts([Served("champion", folder, DEFAULT_KEY)], 60.0, say=lambda _: None)
