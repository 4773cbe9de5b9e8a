"""Comparisons of two arms: by hand, by stratum, by cluster, and what they cannot say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from math import sqrt

import numpy as np
import pytest
from fakes.experiment_requests import Requests

from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import compare
from calibration.experiments.intervals import SPREAD
from calibration.experiments.metrics import METRICS, metric_of
from calibration.metrics.classification import confusion_mcc
from calibration.metrics.reward import natix_reward
from calibration.sequential import mixture_sprt

Arms = Callable[..., ArmTable]


def test_a_difference_of_independent_requests_has_newcombe_s_interval(two_arms: Arms) -> None:
    """The example of Newcombe (1998), table II, case (a): 56/70 against 48/80, method 10."""
    found = compare(two_arms((48, 80), (56, 70)), "accuracy", "fixed")
    assert found.difference == pytest.approx(56 / 70 - 48 / 80)
    # Variances are estimated around the centre of both arms, so the digits are not exactly his.
    assert found.low == pytest.approx(0.0524, abs=0.004)
    assert found.high == pytest.approx(0.3339, abs=0.004)


def test_one_stratum_of_single_requests_is_the_mixture_sprt(two_arms: Arms) -> None:
    found = compare(two_arms((4250, 5000), (4350, 5000)), "accuracy")
    spread = SPREAD * sqrt(0.86 * 0.14)
    expected = float(mixture_sprt([4250, 4350], [5000, 5000], spread=spread))
    assert found.e_value == pytest.approx(expected, rel=0.03)
    assert found.e_value is not None
    assert found.p_value == pytest.approx(min(1.0, 1.0 / found.e_value))


def test_the_interval_leaves_out_zero_exactly_where_the_e_value_reaches_its_limit(two_arms: Arms) -> None:
    for right in range(3400, 3700, 20):
        found = compare(two_arms((3400, 4000), (right, 4000)), "accuracy")
        assert found.low is not None
        assert found.e_value is not None
        assert (found.low > 0.0) == (found.e_value > 20.0)


def test_better_and_worse_follow_the_metric(two_arms: Arms) -> None:
    table = two_arms((3400, 4000), (3640, 4000))
    for mode in ("fixed", "anytime"):
        assert compare(table, "accuracy", mode).conclusion == "better"
        assert compare(table, "risk", mode).conclusion == "better"
        assert compare(table, "mcc", mode).conclusion == "better"
        assert compare(table, "reward", mode).conclusion == "better"
    assert compare(two_arms((3640, 4000), (3400, 4000)), "risk").conclusion == "worse"


@pytest.mark.parametrize("name", ["mcc", "reward"])
def test_figures_of_the_confusion_are_those_of_each_arm(two_arms: Arms, name: str) -> None:
    table = two_arms((340, 400), (364, 400))
    cells = [table.confusion[table.arm == arm].sum(axis=0) for arm in (0, 1)]
    mccs = [confusion_mcc(one) for one in cells]
    rewards = [natix_reward(mccs[arm], np.trace(cells[arm]) / cells[arm].sum()) for arm in (0, 1)]
    found = compare(table, name)
    expected = mccs if name == "mcc" else rewards
    assert (found.control, found.challenger) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("name", ["mcc", "reward"])
def test_the_gradient_is_that_of_the_value(name: str) -> None:
    metric = metric_of(name)
    shares = np.array([0.41, 0.06, 0.09, 0.44])
    slope = metric.gradient(shares)
    assert slope is not None
    for one, other in permutations(range(4), 2):
        step = 1e-6 * (np.eye(4)[one] - np.eye(4)[other])
        rise = (metric.value(shares + step) - metric.value(shares - step)) / 2.0
        assert rise == pytest.approx(float(slope @ step), abs=1e-10)


def test_a_fall_during_a_ramp_is_no_difference() -> None:
    """Accuracy falls for both arms while the share of the challenger grows."""
    stratum = np.repeat([0, 1], 4000)
    arm = np.concatenate([np.arange(4000) % 20 == 0, np.arange(4000) % 2 == 0]).astype(np.int64)
    rng = np.random.default_rng(3)
    right = rng.random(8000) < np.where(stratum == 0, 0.9, 0.8)
    requests = Requests(np.arange(8000), arm, right, stratum)
    by_stratum = compare(requests.table([[0.95, 0.05], [0.5, 0.5]]), "accuracy", "fixed")
    pooled = compare(Requests(np.arange(8000), arm, right).table([[0.725, 0.275]]), "accuracy", "fixed")
    assert pooled.conclusion == "worse"
    assert by_stratum.conclusion == "inconclusive"
    assert by_stratum.strata == 2


def test_requests_of_a_unit_are_one_cluster() -> None:
    """Twenty requests that are all right or all wrong say as much as one."""
    rng = np.random.default_rng(5)
    right, arm = rng.random(200) < 0.8, np.arange(200) % 2
    one = compare(Requests(np.arange(200), arm, right).table([[0.5, 0.5]]), "accuracy")
    unit = np.repeat(np.arange(200), 20)
    many = compare(Requests(unit, arm[unit], right[unit]).table([[0.5, 0.5]]), "accuracy")
    assert many.variance == pytest.approx(one.variance)
    assert many.units == (100, 100)
    assert many.requests == (2000, 2000)


def test_a_unit_in_several_strata_is_one_cluster() -> None:
    """A row per stratum of the same unit brings nothing new if its requests are all alike."""
    rng = np.random.default_rng(5)
    right, arm = rng.random(400) < 0.8, np.arange(400) % 2
    shares = [[0.5, 0.5], [0.5, 0.5]]
    once = compare(Requests(np.arange(400), arm, right).table(shares[:1]), "accuracy")
    unit = np.tile(np.arange(400), 2)
    twice = Requests(unit, arm[unit], right[unit], np.repeat([0, 1], 400)).table(shares)
    assert compare(twice, "accuracy").variance == pytest.approx(once.variance, rel=0.02)


def test_rows_that_are_split_change_little() -> None:
    rng = np.random.default_rng(8)
    unit, right = np.repeat(np.arange(300), 4), rng.random(1200) < 0.85
    whole = Requests(unit, unit % 2, right).table([[0.5, 0.5]])
    halves = Requests(unit, unit % 2, right, np.tile([0, 1], 600)).table([[0.5, 0.5], [0.5, 0.5]])
    merged = replace(halves, stratum=np.zeros(len(halves), dtype=np.int64), shares=whole.shares)
    first, second = compare(whole, "accuracy"), compare(merged, "accuracy")
    assert second.difference == pytest.approx(first.difference)
    # The correlation of a unit's rows is estimated, and the larger of two variances is taken.
    assert first.variance is not None
    assert second.variance is not None
    assert 0.999 < second.variance / first.variance < 1.1


@pytest.mark.parametrize("mode", ["fixed", "anytime"])
def test_without_data_it_is_inconclusive_and_says_what_is_missing(two_arms: Arms, mode: str) -> None:
    table = two_arms((30, 40), (30, 40))
    silent = replace(
        table, confusion=np.where(table.arm[:, None, None] == 1, 0, table.confusion), audits=0 * table.audits
    )
    silent = replace(silent, audited=0.0 * silent.audited, audited_wrong=0.0 * silent.audited)
    for name, missing in (("accuracy", "no labels of b:2"), ("risk", "no audits of control")):
        found = compare(silent, name, mode)  # type: ignore[arg-type]
        assert (found.conclusion, found.difference, found.p_value) == ("inconclusive", None, 1.0)
        assert missing in found.reason


def test_a_few_units_conclude_nothing(two_arms: Arms) -> None:
    found = compare(two_arms((0, 8), (8, 8)), "accuracy", "fixed")
    assert found.conclusion == "inconclusive"
    assert "units of each arm are needed" in found.reason


def test_few_events_conclude_nothing(two_arms: Arms) -> None:
    found = compare(two_arms((60, 60), (51, 60)), "accuracy", "fixed")
    assert found.high is not None
    assert found.high < 0.0
    assert found.conclusion == "inconclusive"
    assert "rarer events" in found.reason


def test_none_needs_an_interval_within_the_margin(two_arms: Arms) -> None:
    assert compare(two_arms((400, 500), (400, 500)), "accuracy").conclusion == "inconclusive"
    assert compare(two_arms((48_000, 60_000), (48_000, 60_000)), "accuracy").conclusion == "none"
    assert compare(two_arms((20_000, 20_000), (20_000, 20_000)), "accuracy").conclusion == "none"


def test_an_arm_without_an_error_is_not_certain(two_arms: Arms) -> None:
    found = compare(two_arms((270, 300), (20, 20)), "accuracy")
    assert found.low is not None
    assert found.low < 0.0


def test_risk_weighs_audits_by_their_probability(two_arms: Arms) -> None:
    table = two_arms((300, 400), (300, 400))
    right = table.right == 1
    # A wrong answer is audited four times as often as a right one, and counts a quarter.
    weight = np.where(right, 4.0, 1.0)
    weighted = replace(table, audited=weight, audited_wrong=np.where(right, 0.0, weight))
    found = compare(weighted, "risk")
    assert found.control == pytest.approx(100 / (300 * 4 + 100))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"metric": "speed"}, "accuracy, risk, coverage, mcc, reward"),
        ({"mode": "often"}, "mode is 'often'"),
        ({"level": 0.0}, "level is 0.0"),
        ({"margin": -1.0}, "margin is -1.0"),
        ({"arm": "c:3"}, "the challengers are b:2"),
    ],
)
def test_malformed_arguments_are_refused(two_arms: Arms, options: dict[str, object], named: str) -> None:
    asked: dict[str, object] = {"metric": "accuracy", **options}
    with pytest.raises(ValueError, match=named):
        compare(two_arms((30, 40), (30, 40)), **asked)  # type: ignore[arg-type]


def test_all_metrics_have_an_interval(two_arms: Arms) -> None:
    for name in METRICS:
        for mode in ("fixed", "anytime"):
            found = compare(two_arms((300, 400), (320, 400)), name, mode)  # type: ignore[arg-type]
            assert found.low is not None
            assert found.high is not None
            assert found.difference is not None
            assert found.low <= found.difference <= found.high
