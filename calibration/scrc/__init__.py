"""Selective conformal risk control (arXiv 2512.12844), corrected: reject, then answer with a set."""

from calibration.errors import ScrcError
from calibration.scrc.inductive import ScrcGrids, ScrcI, images_needed
from calibration.scrc.planning import ScrcPlan, plan_scrc_t
from calibration.scrc.policy import Promise, ScrcScores, ScrcTerms, selector_and_classifier
from calibration.scrc.transductive import ScrcT

__all__ = [
    "Promise",
    "ScrcError",
    "ScrcGrids",
    "ScrcI",
    "ScrcPlan",
    "ScrcScores",
    "ScrcT",
    "ScrcTerms",
    "images_needed",
    "plan_scrc_t",
    "selector_and_classifier",
]
