"""Experiments: which of several bundles is better, by stratum, with the unit as the cluster; NumPy alone."""

from calibration.experiments.arms import CONTROL, ArmTable, ShadowPairs

__all__ = ["CONTROL", "ArmTable", "ShadowPairs"]
