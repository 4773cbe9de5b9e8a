"""Metrics of selective classifiers: ranking, answers, probabilities, and the reward of the reference task."""

from calibration.metrics.classification import (
    balanced_mcc,
    confusion_matrix,
    confusion_mcc,
    mcc,
    recall,
    specificity,
    wilson_interval,
)
from calibration.metrics.intervals import mcc_interval, mean_of_shares
from calibration.metrics.probabilistic import (
    Reliability,
    brier,
    expected_calibration_error,
    nll,
    reliability,
)
from calibration.metrics.reward import natix_reward, simulated_reward, stream_reward, stream_rewards
from calibration.metrics.selective import (
    RiskCoverageCurve,
    augrc,
    aurc,
    failure_auroc,
    risk_coverage_curve,
    selective_risk_at,
)

__all__ = [
    "Reliability",
    "RiskCoverageCurve",
    "augrc",
    "aurc",
    "balanced_mcc",
    "brier",
    "confusion_matrix",
    "confusion_mcc",
    "expected_calibration_error",
    "failure_auroc",
    "mcc",
    "mcc_interval",
    "mean_of_shares",
    "natix_reward",
    "nll",
    "recall",
    "reliability",
    "risk_coverage_curve",
    "selective_risk_at",
    "simulated_reward",
    "specificity",
    "stream_reward",
    "stream_rewards",
    "wilson_interval",
]
