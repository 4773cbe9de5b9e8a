"""The reason of an abstention: too close, unlike the calibration data, or no promise at all."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.decision import OperatingPoint, StageRule, decide, suspend
from calibration.scores import StageOutputs

CLEAR = StageOutputs(np.array([[9.0, -9.0], [0.1, 0.0]]), None)


@pytest.mark.parametrize("stages", [1, 2])
def test_without_any_threshold_every_image_has_no_promise(stages: int) -> None:
    point = OperatingPoint((StageRule(),) * stages)
    assert point.answers_nothing
    decisions = decide([CLEAR] * stages, point)
    assert [(one.decision, one.reason) for one in decisions] == [("abstain", "no-promise")] * 2
    assert {one.prediction_set for one in decisions} == {(0, 1)}


@pytest.mark.parametrize("thresholds", [(2.0,), (2.0, None), (None, 2.0)])
def test_with_one_threshold_an_unclear_image_is_ambiguous(thresholds: tuple[float | None, ...]) -> None:
    point = OperatingPoint(tuple(StageRule(threshold=threshold) for threshold in thresholds))
    assert not point.answers_nothing
    clear, unclear = decide([CLEAR] * len(thresholds), point)
    assert (clear.decision, clear.reason) == ("answer", None)
    assert (unclear.decision, unclear.reason) == ("abstain", "ambiguous")


def test_a_suspended_bundle_answers_nothing_and_keeps_its_probabilities() -> None:
    clear, unclear = decide([CLEAR], OperatingPoint((StageRule(threshold=2.0),)))
    for before in (clear, unclear):
        after = suspend(before)
        assert (after.decision, after.label, after.reason) == ("abstain", None, "suspended")
        assert after.prediction_set == (0, 1)
        assert (after.probabilities, after.confidence) == (before.probabilities, before.confidence)


def test_a_bundle_without_a_promise_stays_one() -> None:
    (one, _) = decide([CLEAR], OperatingPoint((StageRule(),)))
    assert suspend(one) == one
