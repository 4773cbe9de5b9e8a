"""The public face of the package: one pinned list of names, completion, and a cheap import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import calibration

PUBLIC_NAMES = """
AnswerLabels CalibrationError CalledRate CalledRates CascadePath CascadeScores CascadeUsage Certificate
CertifiedOn Decision DeltaExhausted DemurError EDetector JointCertificate Ledger LedgerEntry LedgerError
MalformedCertificate MixtureCheck OperatingPoint Parts PathTest Prevalence PrevalenceUnknown PromisedPart
RiskControl RiskInterval RiskLadder RiskSequence RiskTarget Sampling ScoreTable ScrcError ScrcGrids ScrcI
ScrcScores ScrcT ScrcTerms Slices StageOutputs StagePath StageRule StageScores answers audit_weights augrc
aurc binomial_p_value bootstrap brier cascade_usage certify certify_answers certify_cascade
certify_each_stage certify_group_means certify_path certify_path_by_betting certify_prevalence
certify_several certify_slices check_mixture clopper_pearson_lower clopper_pearson_upper
conformal_risk_control decide dkw_band dkw_margin e_detector expected_calibration_error fewest_answered
hoeffding_bentkus_p_value hoeffding_bentkus_upper intra_group_correlation learn_then_test mcc mixture_sprt
most_errors nll plan_cascade plan_thresholds prevalence_interval randomised_binomial_p_value
randomised_clopper_pearson_upper rcps read_certificates risk_coverage_curve risk_interval saerens_prevalence
sample_ratio_e_value selective_risk_at sgr write_certificates wsr_betting_upper
"""


def test_the_public_names_are_these() -> None:
    assert sorted(calibration.__all__) == sorted(PUBLIC_NAMES.split())


def test_every_public_name_resolves_and_is_completed() -> None:
    for name in PUBLIC_NAMES.split():
        assert getattr(calibration, name) is not None
        assert name in dir(calibration)
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
