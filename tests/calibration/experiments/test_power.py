"""Power: the textbook's number of units, what reading often costs, and days from a log."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.experiment_requests import Requests

from calibration.experiments.comparison import compare
from calibration.experiments.metrics import metric_of
from calibration.experiments.power import Design, Noise, days_to_units, needed_units, power_days

ACCURACY = metric_of("accuracy")


def test_the_fixed_horizon_is_the_textbook_s() -> None:
    """n per arm = (z_.975 + z_.9)^2 2 p (1 - p) / d^2."""
    design = Design(ACCURACY, 0.05)
    units = needed_units(design, Noise.of_share(0.8), "fixed")
    assert units / 2.0 == pytest.approx((1.959964 + 1.281552) ** 2 * 2.0 * 0.16 / 0.05**2, rel=1e-5)


def test_reading_often_costs_less_than_twice_as_many_for_what_it_is_tuned_to() -> None:
    design, noise = Design(ACCURACY, 0.05), Noise.of_share(0.88)
    ratio = needed_units(design, noise, "anytime") / needed_units(design, noise, "fixed")
    assert 1.0 < ratio < 2.0


def test_half_the_labels_need_twice_the_days() -> None:
    design = Design(ACCURACY, 0.05, share=0.2)
    whole, half = (power_days(design, Noise.of_share(0.9, part), 500.0) for part in (1.0, 0.5))
    assert half / whole == pytest.approx(2.0, rel=0.01)
    assert power_days(design, Noise.of_share(0.9), 0.0) == np.inf


@pytest.mark.parametrize("mode", ["fixed", "anytime"])
def test_the_power_is_reached(mode: str) -> None:
    """As many units as it says find the difference about as often as it says."""
    design = Design(ACCURACY, 0.06, power=0.8)
    n = int(needed_units(design, Noise.of_share(0.85), mode))  # type: ignore[arg-type]
    found = 0
    for run in range(60):
        rng = np.random.default_rng(run)
        arm = np.arange(n) % 2
        right = rng.random(n) < np.where(arm == 1, 0.88, 0.82)
        table = Requests(np.arange(n), arm, right).table([[0.5, 0.5]])
        found += compare(table, "accuracy", mode).conclusion == "better"  # type: ignore[arg-type]
    assert 0.6 < found / 60 < 0.95


def test_the_noise_of_a_table_knows_its_clusters() -> None:
    rng = np.random.default_rng(1)
    right, arm = rng.random(400) < 0.8, np.arange(400) % 2
    unit = np.repeat(np.arange(400), 10)
    one = Noise.of_table(Requests(np.arange(400), arm, right).table([[0.5, 0.5]]), ACCURACY)
    many = Noise.of_table(Requests(unit, arm[unit], right[unit]).table([[0.5, 0.5]]), ACCURACY)
    assert one is not None
    assert many is not None
    assert many.unit_variance == pytest.approx(one.unit_variance)
    assert one.unit_variance == pytest.approx(0.16, rel=0.15)


def test_days_within_and_beyond_a_log() -> None:
    first_at = np.arange(0.0, 10.0, 0.1) * 86_400.0
    assert days_to_units(first_at, 51) == pytest.approx(5.0)
    assert days_to_units(first_at, 200) == pytest.approx(20.0, rel=0.02)
    assert days_to_units(np.array([]), 5) == np.inf


def test_a_fleet_that_is_known_brings_nothing_new() -> None:
    first_at = np.append(np.zeros(50), 86_400.0 * 4.0)
    assert days_to_units(first_at[:-1], 100) == np.inf
    assert days_to_units(first_at, 100) > 90.0


@pytest.mark.parametrize(
    "options", [{"difference": 0.0}, {"share": 1.0}, {"power": 0.0}, {"level": 1.0}, {"difference": np.inf}]
)
def test_impossible_designs_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Design(**{"metric": ACCURACY, "difference": 0.1, **options})  # type: ignore[arg-type]


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rate is 1\.0"):
        Noise.of_share(1.0)
    with pytest.raises(ValueError, match="labelled"):
        Noise.of_share(0.5, 0.0)
    with pytest.raises(ValueError, match="units_per_day"):
        power_days(Design(ACCURACY, 0.1), Noise.of_share(0.5), -1.0)
