"""Sequential tests and intervals that are valid at every look; NumPy alone."""

from calibration.sequential.audits import audit_weights
from calibration.sequential.baseline import AuditSums, worse_detector
from calibration.sequential.coverage import coverage_detector
from calibration.sequential.e_detector import DetectorState, EDetector, e_detector
from calibration.sequential.mixture_sprt import mixture_sprt
from calibration.sequential.risk_interval import IntervalState, RiskInterval, risk_interval
from calibration.sequential.sample_ratio import sample_ratio_e_value

__all__ = [
    "AuditSums",
    "DetectorState",
    "EDetector",
    "IntervalState",
    "RiskInterval",
    "audit_weights",
    "coverage_detector",
    "e_detector",
    "mixture_sprt",
    "risk_interval",
    "sample_ratio_e_value",
    "worse_detector",
]
