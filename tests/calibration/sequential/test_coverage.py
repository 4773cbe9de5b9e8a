"""The coverage monitor is quiet at its bound, finds a loss of coverage, and is never ruined."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.sequential import coverage_detector


def first_alarm(coverage: float, bound: float, units: int, seed: int) -> int | None:
    detector = coverage_detector(bound)
    abstains = np.random.default_rng(seed).random(units) >= coverage
    return next((at for at, one in enumerate(abstains) if detector.update(bool(one)) >= 20.0), None)


@pytest.mark.parametrize("bound", [0.3, 0.7, 0.95])
def test_a_lost_tenth_is_found(bound: float) -> None:
    alarms = [first_alarm(bound - 0.1, bound, 2_000, seed) for seed in range(7)]
    assert sorted(alarm if alarm is not None else 9_999 for alarm in alarms)[3] < 1_200


@pytest.mark.parametrize("bound", [0.3, 0.7, 0.95])
def test_at_the_bound_it_is_quiet(bound: float) -> None:
    alarms = [first_alarm(bound, bound, 2_000, seed) for seed in range(15)]
    assert sum(alarm is not None for alarm in alarms) <= 3


@pytest.mark.parametrize("bound", [1e-6, 0.5, 1.0 - 1e-9])
def test_no_bet_is_ruined(bound: float) -> None:
    detector = coverage_detector(bound)
    assert detector.repeat(500, False, True) > 0.0


@pytest.mark.parametrize("bound", [0.0, 1.0, float("nan")])
def test_an_impossible_coverage_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="coverage is"):
        coverage_detector(bound)
