"""Outcomes of the gates on a test set, from given decisions."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.tiny_bundle import tiny_draft

from deploy.gates.plan import RegressionGate
from deploy.gates.regression_results import regression_result, risk_result
from deploy.gates.score import Score

CERTIFICATE = tiny_draft().certificates[0].certificate
"""Alpha is 1 %"""


def answers(number: int, wrong: int) -> Score:
    """So many answers, all of one bundle, of which so many are wrong."""
    right = np.arange(number)[:, None] >= wrong
    return Score("colours", right, np.ones((number, 1), dtype=np.bool_))


@pytest.mark.parametrize(
    ("number", "wrong", "limit", "outcome"),
    [
        (1000, 0, None, "passed"),
        (1000, 10, None, "passed"),
        (1000, 14, None, "inconclusive"),
        (1000, 25, None, "failed"),
        # The promise is refuted, however much the plan would bear.
        (1000, 25, 0.2, "failed"),
        # The plan is stricter than the promise.
        (1000, 10, 0.004, "failed"),
        (10, 0, None, "inconclusive"),
    ],
)
def test_risk_is_held_against_promise_and_limit(
    number: int, wrong: int, limit: float | None, outcome: str
) -> None:
    assert risk_result(answers(number, wrong), RegressionGate(risk=limit), CERTIFICATE).outcome == outcome


def test_without_a_promise_there_is_nothing_to_judge() -> None:
    assert risk_result(answers(1000, 0), RegressionGate(), None).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("images", "lost", "won", "outcome"),
    [
        (2000, 20, 20, "passed"),
        (2000, 0, 40, "passed"),
        (2000, 40, 10, "failed"),
        (2000, 5, 0, "failed"),
        (2000, 4, 0, "passed"),
        (100, 1, 1, "inconclusive"),
    ],
)
def test_regression_is_found_ruled_out_or_neither(images: int, lost: int, won: int, outcome: str) -> None:
    right = np.ones((images, 2), dtype=np.bool_)
    right[:lost, 0] = False
    right[lost : lost + won, 1] = False
    result = regression_result(Score("colours", right, right), RegressionGate())
    assert result.outcome == outcome
    assert ("would decide" in result.text) is (outcome == "inconclusive")
