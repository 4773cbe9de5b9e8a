"""Sample ratio of an experiment: which units count, its e-value by hand, and what it finds."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
from fakes.experiment_requests import Requests

from calibration.experiments.sample_ratio import LEVEL, sample_ratio, sample_ratio_course

TENTH = np.array([[0.9, 0.1]])


def dealt(challenger: int, control: int) -> Requests:
    arm = np.repeat([1, 0], [challenger, control])
    arm = np.random.default_rng(2).permutation(arm)
    return Requests(np.arange(len(arm)), arm, np.ones(len(arm), dtype=np.bool_))


def test_the_course_ends_at_the_e_value_of_the_counts() -> None:
    found = sample_ratio(dealt(130, 870).table(TENTH))
    arm = np.repeat([1, 0], [130, 870])
    course = sample_ratio_course(arm, np.zeros(1000, dtype=np.int64), TENTH)
    assert course[-1] == pytest.approx(found.e_value)
    assert found.units == (870, 130)
    assert found.highest >= found.e_value


def test_one_unit_has_the_mean_likelihood_ratio() -> None:
    """Tilts come in pairs; a unit of the challenger is e^t / (1 - p + p e^t) as likely under each."""
    tilts, weights = (0.02, 0.05, 0.1, 0.2, 0.4), (0.1, 0.15, 0.25, 0.3, 0.2)
    expected = sum(
        weight / 2.0 * exp(sign * t - log(0.9 + 0.1 * exp(sign * t)))
        for t, weight in zip(tilts, weights, strict=True)
        for sign in (-1.0, 1.0)
    )
    course = sample_ratio_course(np.array([1]), np.array([0]), TENTH)
    assert course[0] == pytest.approx(expected)


def test_the_mean_over_all_outcomes_is_one() -> None:
    """A test martingale: whatever the strata, three arms and two units."""
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    mean = 0.0
    for first in range(3):
        for second in range(3):
            chance = shares[0, first] * shares[1, second]
            mean += chance * sample_ratio_course(np.array([first, second]), np.array([0, 1]), shares)[-1]
    assert mean == pytest.approx(1.0)


def test_lost_units_are_a_mismatch_and_the_designed_shares_are_none() -> None:
    assert not sample_ratio(dealt(1000, 9000).table(TENTH)).mismatch
    found = sample_ratio(dealt(750, 9000).table(TENTH))
    assert found.mismatch
    assert found.highest >= 1.0 / LEVEL


def test_a_fault_that_lasts_is_found_by_all_strata_together() -> None:
    each = [dealt(255, 1700) for _ in range(3)]
    arm = np.concatenate([one.arm for one in each])
    stratum = np.repeat(np.arange(3), len(each[0]))
    table = Requests(np.arange(len(arm)), arm, arm == arm, stratum).table(np.repeat(TENTH, 3, axis=0))
    found = sample_ratio(table)
    assert max(one.e_value for one in found.strata) < 1.0 / LEVEL
    assert found.mismatch


def test_a_unit_counts_where_it_was_first_seen() -> None:
    """Units that come back in another stratum keep their arm, whatever its share is by then."""
    arm = (np.arange(2000) % 10 == 0).astype(np.int64)
    unit = np.tile(np.arange(2000), 2)
    requests = Requests(unit, np.tile(arm, 2), unit == unit, np.repeat([0, 1], 2000))
    found = sample_ratio(requests.table([[0.9, 0.1], [0.5, 0.5]]))
    assert found.strata[0].units == (1800, 200)
    assert found.strata[1].units == (0, 0)
    assert not found.mismatch


def test_rows_may_come_in_any_order() -> None:
    table = dealt(130, 870).table(TENTH)
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    assert sample_ratio(shuffled) == sample_ratio(table)


def test_a_unit_in_an_arm_without_a_share_is_a_mismatch() -> None:
    table = replace(dealt(1, 99).table(TENTH), shares=np.array([[1.0, 0.0]]))
    found = sample_ratio(table)
    assert found.e_value == np.inf
    assert found.mismatch
    assert not sample_ratio(replace(dealt(0, 99).table(TENTH), shares=np.array([[1.0, 0.0]]))).mismatch
