"""The front of the package: every name is there, and importing it stays cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import calibration


def test_every_exported_name_is_there() -> None:
    for name in calibration.__all__:
        assert getattr(calibration, name) is not None
    assert callable(calibration.bootstrap)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        calibration.nothing_of_the_kind  # noqa: B018


def test_the_decision_rule_can_be_imported_without_scipy() -> None:
    code = "import sys, calibration.decision, calibration.certificate; print('scipy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_certifying_does_not_load_scipy_stats() -> None:
    code = (
        "import sys, calibration; calibration.certify([0.5], [0], None, calibration.RiskTarget());"
        "scores = calibration.CascadeScores.read([0.5], [0], [0.5], [0]);"
        "calibration.certify_cascade(scores, [[0.1, 0.1]], calibration.RiskTarget());"
        "print('scipy.stats' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
