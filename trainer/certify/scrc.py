"""Certificates by selective conformal risk control (SCRC), for the last stage alone.

SCRC makes a promise about the prediction sets of one model, so here a cascade answers by stage B only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration.decision import OperatingPoint, StageRule
from calibration.scrc import (
    ScrcGrids,
    ScrcI,
    ScrcScores,
    ScrcT,
    ScrcTerms,
    plan_scrc_t,
    selector_and_classifier,
)
from trainer.certify.evidence import Evidence, Policy, certified_on, for_all_stages, sampling_of
from trainer.scoring.split_scores import SplitScores

CONFIDENCE_GRID = 20
"""Number of confidences in SCRC-I's grid, planned on val_select; every further point costs coverage."""
SET_GRID = (0.5,)
"""Set thresholds; for two classes the set at 1/2 is the most probable label, and no other answers more."""


def scrc_inductive(evidence: Evidence) -> Policy:
    """SCRC-I: holds with confidence 1 - delta over the draw of val_calib; needs very many labels."""
    confidence, _ = selector_and_classifier(evidence.select.stages[-1], evidence.rules[-1])
    quantiles = np.quantile(confidence, np.linspace(1.0, 0.0, CONFIDENCE_GRID + 1)[1:])
    fitted = ScrcI.fit(
        _last_stage(evidence.calib, evidence.rules[-1]),
        ScrcGrids(np.unique(quantiles)[::-1], SET_GRID),
        evidence.target,
        sampling=sampling_of(evidence),
    )
    return _policy(evidence, fitted)


def scrc_transductive(evidence: Evidence) -> Policy:
    """SCRC-T: holds in expectation over draws of val_calib, with no confidence level."""
    select, calib, rule = evidence.select, evidence.calib, evidence.rules[-1]
    plan = plan_scrc_t(_last_stage(select, rule), calib.n_groups, evidence.target)
    fitted = ScrcT.fit(
        _last_stage(calib, rule),
        evidence.target,
        ScrcTerms(acceptance=plan.acceptance),
        sampling_of(evidence),
        answer_share=plan.answer_share,
    )
    return _policy(evidence, fitted)


def _last_stage(split: SplitScores, rule: StageRule) -> ScrcScores:
    return ScrcScores(*selector_and_classifier(split.stages[-1], rule), split.labels)


def _policy(evidence: Evidence, fitted: ScrcI | ScrcT) -> Policy:
    certificate = fitted.certificate(evidence.target, certified_on(evidence))
    idle = tuple(replace(rule, threshold=None) for rule in evidence.rules[:-1])
    point = OperatingPoint((*idle, fitted.stage_rule(evidence.rules[-1])))
    return Policy(point, for_all_stages(certificate, len(point.stages)), None, fitted.to_dict())
