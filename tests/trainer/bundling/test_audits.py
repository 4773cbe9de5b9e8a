"""Audit curves of a bundle."""

from __future__ import annotations

import numpy as np

from bundle.loader import load_bundle
from calibration.decision import OperatingPoint, StageRule
from trainer.bundling.audits import audit_curves
from trainer.bundling.finish import RunResult
from trainer.certify.policy_outcome import apply_policy
from trainer.scoring.split_scores import load_scores


def test_a_bundle_carries_the_curves_of_its_policy(wrapped: RunResult) -> None:
    select = load_scores(wrapped.run.scores("val_select"))
    expected = audit_curves(select, wrapped.policy.point)
    assert len(expected) == 2
    assert wrapped.manifest.audits == {"onnxruntime-cpu/fp32": expected}
    assert load_bundle(wrapped.run.bundle).audits == expected


def test_the_mean_weight_of_all_answers_is_one(wrapped: RunResult) -> None:
    select, point = load_scores(wrapped.run.scores("val_select")), wrapped.policy.point
    outcome = apply_policy(select, point)
    curves = audit_curves(select, point)
    weights = [
        curves[stage].weight(float(point.stages[stage].confidence(select.stages[stage])[row]))
        for row, stage in enumerate(outcome.by_stage.tolist())
        if outcome.answered[row]
    ]
    assert np.isclose(np.mean(weights), 1.0, atol=0.03)


def test_a_policy_that_answers_nothing_has_no_curves(wrapped: RunResult) -> None:
    select = load_scores(wrapped.run.scores("val_select"))
    assert audit_curves(select, OperatingPoint((StageRule(), StageRule()))) == ()


def test_a_stage_that_answers_nothing_is_audited_uniformly(wrapped: RunResult) -> None:
    select, rules = load_scores(wrapped.run.scores("val_select")), wrapped.policy.point.stages
    first, second = audit_curves(select, OperatingPoint((StageRule(), rules[1])))
    assert first.weight(3.0) == 1.0
    assert len(second.weights) > 1
