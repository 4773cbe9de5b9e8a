"""The interval of the risk: its limits, its state, and its cover at every look."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import RiskInterval, audit_weights, clopper_pearson_upper, risk_interval

RNG = 7


def test_nothing_seen_says_nothing() -> None:
    assert risk_interval(np.zeros(0, dtype=bool)) == (0.0, 1.0)


def test_all_right_and_all_wrong() -> None:
    low, high = risk_interval(np.zeros(1000, dtype=bool))
    assert low == 0.0
    assert clopper_pearson_upper(0, 1000, 0.05) < high < 0.01
    low, high = risk_interval(np.ones(1000, dtype=bool))
    assert low > 0.98
    assert high == pytest.approx(1.0)


def test_a_look_at_every_time_costs_at_most_twice_the_width_of_a_single_look() -> None:
    wrong = np.random.default_rng(RNG).random(20_000) < 0.01
    _, high = risk_interval(wrong)
    single = clopper_pearson_upper(int(wrong.sum()), 20_000, 0.025)
    assert wrong.mean() < single < high < wrong.mean() + 2.0 * (single - wrong.mean())


def test_parts_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(RNG)
    probability = 0.2 * audit_weights(rng.random(3000) ** 4)
    audited, wrong = rng.random(3000) < probability, rng.random(3000) < 0.05
    found = audited & wrong
    state = RiskInterval(share=0.2, least_probability=0.08)
    for begin in range(0, 3000, 700):
        part = slice(begin, begin + 700)
        state.add(len(found[part]), probability[part][found[part]])
    whole = risk_interval(wrong, audited=audited, probability=probability, share=0.2)
    assert state.interval == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("drifts", [False, True])
def test_the_mean_risk_so_far_is_inside_at_every_look(drifts: bool) -> None:
    rng = np.random.default_rng(RNG)
    runs, n, looks = 200, 2000, range(100, 2001, 100)
    risk = np.where(np.arange(n) < n // 2, 0.002, 0.05) if drifts else np.full(n, 0.01)
    missed = 0
    for _ in range(runs):
        weight = audit_weights(rng.random(n) ** 4)
        audited, wrong = rng.random(n) < 0.2 * weight, rng.random(n) < risk
        state, last, outside = RiskInterval(share=0.2, least_probability=0.08), 0, False
        for look in looks:
            part = slice(last, look)
            state.add(look - last, 0.2 * weight[part][audited[part] & wrong[part]])
            low, high = state.interval
            outside |= not low <= risk[:look].mean() <= high
            last = look
        missed += outside
    # 10 of 200 on average at exactly .05; 22 or more have a chance below .001.
    assert missed <= 21


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0.0}, "share is 0.0"),
        ({"least_probability": 2.0}, "least_probability is 2.0"),
        ({"delta": 1.0}, "delta is 1.0"),
    ],
)
def test_bad_parameters_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RiskInterval(**arguments)


def test_impossible_counts_are_refused() -> None:
    state = RiskInterval()
    with pytest.raises(ValueError, match="2 errors were found among 1 images"):
        state.add(1, np.ones(2))
    with pytest.raises(ValueError, match="audit probability lies outside"):
        state.add(1, np.array([0.5]))
    with pytest.raises(ValueError, match="wrong has the shape"):
        risk_interval(np.zeros((2, 2), dtype=bool))


@pytest.mark.parametrize("seed", range(20))
def test_the_limits_are_where_the_mean_of_the_bets_reaches_its_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = int(10 ** rng.uniform(0.5, 6.0))
    wrong = int(images * 10 ** rng.uniform(-4.0, 0.0))
    interval = RiskInterval()
    interval.add(images, np.ones(wrong))
    tilts = np.geomspace(0.01, 1000.0, 48)

    def log_mean(risk: float, bets: np.ndarray) -> float:
        each = wrong * np.log1p(bets) - images * np.log1p(risk * bets)
        return float(np.logaddexp.reduce(each) - np.log(len(bets)))

    low, high = interval.interval
    for limit, outside, bets in ((low, -1e-9, tilts), (high, 1e-9, -tilts / (1.0 + tilts))):
        if 1e-9 < limit < 1.0 - 1e-9:
            assert log_mean(limit, bets) == pytest.approx(np.log(40.0), abs=1e-6)
            assert log_mean(limit + outside, bets) > log_mean(limit - outside, bets)
