"""Experiments: which of several bundles is better, by stratum, with the unit as the cluster; NumPy alone."""

from calibration.experiments.agreement import Agreement, Alike, agreement
from calibration.experiments.analysis import Analysis, ArmAnalysis, Figure, Terms, analyse
from calibration.experiments.arms import CONTROL, ArmTable, ShadowPairs
from calibration.experiments.comparison import Comparison, Conclusion, Mode, compare
from calibration.experiments.labels import LabelComparison, labels_comparable
from calibration.experiments.metrics import METRICS, Metric, metric_of
from calibration.experiments.multiplicity import conclude_together, holm
from calibration.experiments.power import Design, Noise, power_days
from calibration.experiments.sample_ratio import SampleRatio, sample_ratio
from calibration.experiments.shadow_pairs import PairedComparison, mcnemar

__all__ = [
    "CONTROL",
    "METRICS",
    "Agreement",
    "Alike",
    "Analysis",
    "ArmAnalysis",
    "ArmTable",
    "Comparison",
    "Conclusion",
    "Design",
    "Figure",
    "LabelComparison",
    "Metric",
    "Mode",
    "Noise",
    "PairedComparison",
    "SampleRatio",
    "ShadowPairs",
    "Terms",
    "agreement",
    "analyse",
    "compare",
    "conclude_together",
    "holm",
    "labels_comparable",
    "mcnemar",
    "metric_of",
    "power_days",
    "sample_ratio",
]
