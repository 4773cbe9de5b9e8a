"""The cascade of a run at other thresholds, on val_select, whose labels cost no delta."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from calibration.bounds import clopper_pearson_upper
from calibration.exact.policies import at_thresholds
from trainer.certify.evidence import Evidence, plan_path
from trainer.certify.gate import read_rules
from trainer.certify.policy_outcome import PolicyOutcome, apply_policy
from trainer.errors import RunError
from trainer.reports.pictures import Curve, RiskLine, draw_risk_coverage
from trainer.run.folder import RunFolder, write_csv
from trainer.run.record import read_record
from trainer.scoring.split_scores import load_scores

STEPS = 200
"""Points of the path in the table"""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """The policy at one point of the planned path, on val_select."""

    threshold_a: float
    """+inf: the stage answers nothing"""
    threshold_b: float | None
    """None for a single stage"""
    coverage: float
    answered: int
    wrong: int
    error: float
    """Wrong among the answered"""
    error_upper_95: float
    """Clopper-Pearson, for this point alone; no promise, since the point is not fixed beforehand"""
    stage_a_share: float
    """Share of stage A among the answers"""
    compute: float
    """Cost per image as a share of the cost of the last stage alone"""


def sweep(folder: Path) -> tuple[SweepRow, ...]:
    """`demur sweep RUN`: write metrics/threshold_sweep.csv and .png, from strict to loose thresholds.

    Reads labels of val_select only, so the promise on val_calib is unaffected.
    """
    run = RunFolder(folder)
    record = read_record(run)
    select = load_scores(run.need(run.scores("val_select"), "demur train"))
    calib = load_scores(run.need(run.scores("val_calib"), "demur train"))
    if len(select) == 0:
        raise RunError(f"val_select of {folder} is empty; a sweep needs its labels")
    rules = read_rules(run)
    path = plan_path(Evidence(select, calib, rules, record.costs, record.promise))
    chosen = path[np.unique(np.linspace(0, len(path) - 1, STEPS).astype(np.int64))]
    rows = tuple(
        _row(pair.tolist(), apply_policy(select, at_thresholds(rules, pair)), record.costs) for pair in chosen
    )
    write_csv(
        run.metrics / "threshold_sweep.csv",
        [field.name for field in fields(SweepRow)],
        [list(asdict(row).values()) for row in rows],
    )
    answering = [row for row in rows if row.answered]
    coverage = np.array([row.coverage for row in answering])
    draw_risk_coverage(
        run.metrics / "threshold_sweep.png",
        [Curve("policy along its planned path", coverage, np.array([row.error for row in answering]))],
        RiskLine(record.promise.alpha, promised=None),
        None,
        f"val_select: {len(select):,} images; for choosing, not for promising",
    )
    return rows


def _row(thresholds: list[float], outcome: PolicyOutcome, costs: tuple[float, ...]) -> SweepRow:
    answered, wrong = int(outcome.answered.sum()), int(outcome.wrong.sum())
    reached_last = float((outcome.by_stage == len(costs) - 1).mean())
    spent = costs[0] + (costs[1] * reached_last if len(costs) == 2 else 0.0)
    return SweepRow(
        threshold_a=thresholds[0],
        threshold_b=thresholds[1] if len(thresholds) == 2 else None,
        coverage=outcome.coverage,
        answered=answered,
        wrong=wrong,
        error=wrong / answered if answered else 0.0,
        error_upper_95=float(clopper_pearson_upper(wrong, answered, 0.05)),
        stage_a_share=outcome.stage_a_share,
        compute=spent / costs[-1] if costs[-1] else float("nan"),
    )
