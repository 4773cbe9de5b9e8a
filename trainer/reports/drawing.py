"""The pictures of a run: arrays from scores and policy, drawn by `pictures`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.bounds import clopper_pearson_lower, clopper_pearson_upper
from calibration.decision import StageRule
from calibration.exact.policies import at_thresholds
from calibration.metrics import augrc, expected_calibration_error, reliability, risk_coverage_curve
from calibration.resampling import bootstrap
from calibration.scores import FloatArray, ScoreTable, softmax
from trainer.certify.evidence import Policy
from trainer.certify.policy_outcome import apply_policy
from trainer.reports.evaluation import Report
from trainer.reports.pictures import (
    Curve,
    OperatingMark,
    ReliabilityLine,
    RiskLine,
    draw_augrc_distribution,
    draw_calibration_curve,
    draw_risk_coverage,
)
from trainer.run.folder import RunFolder
from trainer.scoring.split_scores import SplitScores

GRID = 200
"""Coverages at which curves are drawn"""
LEAST_ANSWERED, LEAST_SHARE = 50, 0.25
"""Answered images from which a curve is drawn, since fewer are noise; of a small split a share of it, so that
its picture shows the model too"""
RESAMPLES = 400
BINS = 10


def draw_run(scores: SplitScores, policy: Policy, report: Report, run: RunFolder) -> None:
    """Write risk_coverage_curve.png, augrc_distribution.png and calibration_curve.png of one split."""
    rules, where = policy.point.stages, _where(scores)
    curves = []
    if len(rules) == 2 and policy.path is not None:
        curves.append(_policy_curve(scores, rules, policy.path))
    curves += [_stage_curve(scores, index, rules) for index in reversed(range(len(rules)))]
    certificate = policy.certificate
    draw_risk_coverage(
        run.metrics / "risk_coverage_curve.png",
        [curve for curve in curves if len(curve.coverage)],
        RiskLine(certificate.alpha, certificate.feasible),
        _mark(report, certificate.risk_upper_bound),
        f"{where}; bands and bar: 95 % intervals",
    )
    samples, observed = {}, {}
    for index, rule in reversed(list(enumerate(rules))):
        for score in ("margin", "softmax", "gate"):
            if score == "gate" and scores.stages[index].gate is None:
                continue
            table = scores.table(index)
            ranked = StageRule(score, None, rule.temperature, rule.gate_slope, rule.gate_intercept)
            name = f"{'AB'[index]}: {score}{' (ships)' if score == rule.score else ''}"
            interval = bootstrap(
                augrc,
                _errors(table),
                ranked.confidence(table.outputs),
                groups=table.groups,
                resamples=1000,
            )
            samples[name], observed[name] = interval.distribution, float(interval)
    draw_augrc_distribution(
        run.metrics / "augrc_distribution.png", samples, observed, f"{where}; 1,000 resamples"
    )
    _draw_calibration(scores, rules, run, where)


def _draw_calibration(scores: SplitScores, rules: Sequence[StageRule], run: RunFolder, where: str) -> None:
    """Reliability of the last stage's probabilities, before and after temperature scaling."""
    table, rule = scores.table(len(rules) - 1), rules[-1]
    stated = {
        "as trained": softmax(table.outputs.logits),
        f"temperature {rule.temperature:.2f}": softmax(rule.calibrated(table.outputs).logits),
    }
    lines = [_reliability(name, probabilities, table) for name, probabilities in stated.items()]
    draw_calibration_curve(
        run.metrics / "calibration_curve.png",
        lines,
        list(stated.values())[-1].max(axis=-1),
        f"Stage {'AB'[len(rules) - 1]}, {where}; bins of equal counts, 95 % intervals",
    )


def _reliability(name: str, probabilities: FloatArray, table: ScoreTable) -> ReliabilityLine:
    curve = reliability(probabilities.max(axis=-1), ~_errors(table), bins=BINS, binning="equal-mass")
    hits = np.rint(curve.observed * curve.count).astype(np.int64)
    return ReliabilityLine(
        name,
        curve.predicted,
        curve.observed,
        (clopper_pearson_lower(hits, curve.count, 0.025), clopper_pearson_upper(hits, curve.count, 0.025)),
        expected_calibration_error(probabilities, table.labels),
    )


def _policy_curve(scores: SplitScores, rules: Sequence[StageRule], path: FloatArray) -> Curve:
    """The cascade along its path of threshold pairs, [T, 2]."""
    points = path[np.unique(np.linspace(0, len(path) - 1, GRID).astype(np.int64))]
    outcomes = [apply_policy(scores, at_thresholds(rules, pair)) for pair in points]
    answered = np.array([int(outcome.answered.sum()) for outcome in outcomes])
    wrong = np.array([int(outcome.wrong.sum()) for outcome in outcomes])
    kept = answered >= _least_answered(scores)
    return Curve("cascade, along its path", answered[kept] / len(scores), wrong[kept] / answered[kept])


def _stage_curve(scores: SplitScores, index: int, rules: Sequence[StageRule]) -> Curve:
    """One stage alone; the last stage with a bootstrap band."""
    table = scores.table(index)
    errors, confidence = _errors(table), rules[index].confidence(table.outputs)
    start = _least_answered(scores) / len(scores)
    grid = np.linspace(start, 1.0, GRID)
    name = f"stage {'AB'[index]} alone ({rules[index].score})"

    def risks(wrong: FloatArray, scored: FloatArray) -> FloatArray:
        curve = risk_coverage_curve(wrong, scored)
        return np.interp(grid, curve.coverage, curve.selective_risk)

    if index < len(rules) - 1:
        return Curve(name, grid, risks(errors, confidence))
    interval = bootstrap(risks, errors, confidence, groups=table.groups, resamples=RESAMPLES)
    return Curve(name, grid, interval.estimate, (interval.low, interval.high))


def _least_answered(scores: SplitScores) -> int:
    return max(1, min(LEAST_ANSWERED, round(LEAST_SHARE * len(scores))))


def _mark(report: Report, certified: float | None) -> OperatingMark | None:
    coverage, error = report["coverage"], report["selective_error"]
    if error.value is None or coverage.value is None or error.low is None or error.high is None:
        return None
    return OperatingMark(coverage.value, error.value, (error.low, error.high), certified)


def _errors(table: ScoreTable) -> np.ndarray:
    return np.asarray(table.outputs.logits.argmax(axis=-1) != table.labels, dtype=np.bool_)


def _where(scores: SplitScores) -> str:
    units = f" in {scores.n_groups:,} groups" if scores.groups is not None else ""
    return f"{scores.split}: {len(scores):,} images{units}"
