"""Selective conformal risk control (arXiv 2512.12844), corrected: reject, then answer with a set."""

from calibration.errors import ScrcError
from calibration.scrc.inductive import ScrcI, images_needed
from calibration.scrc.planning import ScrcPlan, plan_scrc_t
from calibration.scrc.policy import Promise, selector_and_classifier
from calibration.scrc.transductive import ScrcT

__all__ = [
    "Promise",
    "ScrcError",
    "ScrcI",
    "ScrcPlan",
    "ScrcT",
    "images_needed",
    "plan_scrc_t",
    "selector_and_classifier",
]
