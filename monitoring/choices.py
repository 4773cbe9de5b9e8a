"""Names that verbs and settings offer, spelled once; imports nothing but typing."""

from __future__ import annotations

from typing import Literal

ExperimentMetric = Literal["accuracy", "risk", "coverage", "mcc", "reward"]
"""What the arms of an experiment are compared in"""
OnMismatch = Literal["hold", "withdraw"]
"""What follows from a wrong ratio of units. hold: no conclusion. withdraw: the control gets all units too."""
