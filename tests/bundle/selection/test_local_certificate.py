"""Certification on this machine: scores that are no numbers end it before any delta is used."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.engines.contract import EngineKey
from bundle.selection.issued import NotIssued
from bundle.selection.local_certificate import CalibrationCase, _require_finite
from calibration.scores import StageOutputs

KEY = EngineKey("openvino", "fp32")
CASES = [CalibrationCase(file=f"calibration/{number:03d}.jpg", label=0) for number in range(4)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("in_gate", [True, False])
def test_a_score_that_is_no_number_names_its_image(value: float, in_gate: bool) -> None:
    logits, gate = np.zeros((4, 2)), np.zeros(4)
    whole = StageOutputs(logits.copy(), gate.copy())
    _require_finite([whole, whole], CASES, KEY)
    if in_gate:
        gate[2:] = value
    else:
        logits[2:, 1] = value
    with pytest.raises(
        NotIssued, match=r"openvino/fp32 .* 2 of 4 calibration images .* calibration/002\.jpg first"
    ):
        _require_finite([whole, StageOutputs(logits, gate)], CASES, KEY)
