from __future__ import annotations

import os

import numpy as np
import pytest

from calibration.metrics import augrc, mcc, risk_coverage_curve
from calibration.resampling import bootstrap, bootstrap_difference


def test_the_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(1).normal(size=4000)
    interval = bootstrap(np.mean, values, resamples=2000)
    half = 1.96 * values.std() / np.sqrt(4000)
    assert float(interval) == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert interval.units == 4000
    assert interval.distribution.shape == (2000,)
    assert interval.excludes(1.0)
    assert not interval.excludes(float(values.mean()))


def test_the_seed_decides_everything():
    values = np.random.default_rng(1).normal(size=50)
    first, again, other = (bootstrap(np.mean, values, seed=seed).distribution for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_groups_come_whole():
    groups = np.array(["a", "b", "b", "c", "c", "c"])

    def sizes_are_multiples(rows):
        counts = np.bincount(rows, minlength=6)
        return float(counts[1] == counts[2] and counts[3] == counts[4] == counts[5])

    interval = bootstrap(sizes_are_multiples, np.arange(6), groups=groups, resamples=200)
    assert interval.distribution.min() == 1.0
    assert interval.units == 3


def test_copies_of_an_image_are_no_news():
    values = np.random.default_rng(2).normal(size=200)
    copies, groups = np.repeat(values, 10), np.repeat(np.arange(200), 10)
    alone = bootstrap(np.mean, values, resamples=2000)
    grouped = bootstrap(np.mean, copies, groups=groups, resamples=2000)
    careless = bootstrap(np.mean, copies, resamples=2000)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert careless.high - careless.low < 0.4 * (alone.high - alone.low)


def test_rows_of_several_arrays_stay_together():
    generator = np.random.default_rng(4)
    errors, confidence = generator.random(300) < 0.2, generator.random(300)
    interval = bootstrap(
        lambda e, c, both: float(np.all(both[:, 0] == c)),
        errors,
        confidence,
        np.stack([confidence, errors], axis=1),
        resamples=50,
    )
    assert interval.distribution.min() == 1.0


def test_a_paired_difference_sees_what_two_intervals_cannot():
    generator = np.random.default_rng(6)
    difficulty = generator.normal(size=2000)
    errors = difficulty + generator.normal(size=2000) > 1.8
    better, worse = -difficulty, -difficulty + generator.normal(0, 0.6, 2000)
    difference = bootstrap_difference(augrc, (errors, better), (errors, worse), resamples=500)
    first, second = (bootstrap(augrc, errors, c, resamples=500) for c in (better, worse))
    assert difference.excludes(0.0)
    assert difference.high < 0
    assert first.high > second.low  # the two intervals overlap


def test_a_statistic_may_be_a_curve():
    generator = np.random.default_rng(8)
    errors, confidence = generator.random(500) < 0.1, generator.random(500)
    at = np.linspace(0.1, 1.0, 10)

    def risk_on_grid(e, c):
        curve = risk_coverage_curve(e, c)
        return np.interp(at, curve.coverage, curve.selective_risk)

    interval = bootstrap(risk_on_grid, errors, confidence, resamples=100)
    assert interval.low.shape == interval.high.shape == interval.estimate.shape == (10,)
    assert np.all(interval.low <= interval.high)


def test_undefined_resamples_are_left_out_of_the_interval():
    def mean_of_ones(x):
        return float(x[x > 0].mean()) if np.any(x > 0) else float("nan")

    interval = bootstrap(mean_of_ones, np.array([0.0, 0.0, 0.0, 1.0]), resamples=200)
    assert np.isnan(interval.distribution).any()
    assert interval.low == interval.high == 1.0


@pytest.mark.slow
def test_the_interval_covers_as_often_as_it_says():
    draws = 600 if os.environ.get("DEMUR_SLOW") == "1" else 120
    generator = np.random.default_rng(9)

    def sample(n):
        labels = generator.integers(0, 2, n)
        return labels, np.where(generator.random(n) < 0.85, labels, 1 - labels)

    covered = 0
    for draw in range(draws):
        labels, predictions = sample(400)
        covered += not bootstrap(mcc, labels, predictions, resamples=300, seed=draw).excludes(0.70)
    share = covered / draws
    print(f"\nbootstrap of MCC, n = 400: {share:.3f} of {draws} intervals hold the true value (0.95 stated)")
    assert share >= 0.95 - 0.015 - 4 * np.sqrt(0.05 * 0.95 / draws)  # 0.015: 300 resamples and percentiles


@pytest.mark.parametrize(
    ("arrays", "keywords", "message"),
    [
        ((), {}, "at least one array"),
        (([1, 2], [1]), {}, "one number of rows"),
        (([],), {}, "above 0"),
        (([1, 2],), {"groups": ["a"]}, "groups has shape"),
        (([1, 2],), {"resamples": 0}, "resamples is 0"),
        (([1, 2],), {"level": 1.0}, "level is 1.0"),
    ],
)
def test_bad_input_is_named(arrays, keywords, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(lambda *a: 0.0, *arrays, **keywords)
