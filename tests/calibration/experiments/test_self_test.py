"""The self-test passes on independent units, and finds units that are not."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.experiment_requests import Requests

from calibration.experiments.arms import ArmTable
from calibration.experiments.self_test import Deal, FalseShare, self_test
from calibration.scores import IntArray


def table(units: int = 400) -> ArmTable:
    rng = np.random.default_rng(2)
    unit = np.repeat(np.arange(units), 3)
    right = rng.random(len(unit)) < rng.beta(9.0, 1.0, units)[unit]
    return Requests(unit, 0 * unit, right).table([[0.5, 0.5]])


def fair(units: int) -> Deal:
    return lambda number: np.random.default_rng(number).integers(0, 2, units)


def test_independent_units_pass() -> None:
    found = self_test(table(), fair(400), share=0.5, metrics=("accuracy", "coverage"), deals=20, looks=5)
    assert found.passed
    assert (found.units, found.requests, found.looks) == (400, 1200, 5)
    assert [one.name for one in found.single] == ["accuracy", "coverage"]


def test_a_deal_that_knows_the_answers_does_not() -> None:
    rows = table()
    bad = np.zeros(400, dtype=np.int64)
    np.add.at(bad, rows.unit, rows.labelled - rows.right)

    def unfair(number: int) -> IntArray:
        chance = np.where(bad > 0, 0.8, 0.35)
        return (np.random.default_rng(number).random(400) < chance).astype(np.int64)

    found = self_test(rows, unfair, share=0.5, metrics=("accuracy",), deals=20, looks=5)
    assert not found.passed
    assert not found.single[0].within
    assert found.together.found > 10


def test_a_dealing_with_other_shares_is_a_mismatch() -> None:
    found = self_test(table(), fair(400), share=0.2, metrics=("coverage",), deals=10, looks=2)
    assert found.ratio.found == 10
    assert not found.passed


def test_a_share_may_be_above_what_is_allowed_by_chance() -> None:
    assert FalseShare("accuracy", 8, 100, 0.05).within
    assert not FalseShare("accuracy", 14, 100, 0.05).within


@pytest.mark.parametrize("options", [{"share": 0.0}, {"deals": 0}, {"looks": 0}])
def test_malformed_arguments_are_refused(options: dict[str, float]) -> None:
    asked = {"share": 0.5, "metrics": ("coverage",), "deals": 1, "looks": 1, **options}
    with pytest.raises(ValueError, match=next(iter(options))):
        self_test(table(), fair(400), **asked)  # type: ignore[arg-type]
