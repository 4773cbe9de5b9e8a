"""The reason of an abstention: too close, unlike the calibration data, or no promise at all."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.decision import OperatingPoint, StageRule, decide
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
