from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.decision import OperatingPoint, StageRule, decide
from calibration.metrics import simulated_reward
from calibration.scores import StageOutputs
from trainer.certify.policy_outcome import apply_policy
from trainer.errors import RunError
from trainer.reports.evaluation import REWARD, evaluate, write_report
from trainer.run.folder import RunFolder, read_json
from trainer.scoring.split_scores import SplitScores


def _scores(n: int = 400, *, groups: bool = False, seed: int = 0) -> SplitScores:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    signs = 2.0 * labels - 1.0
    weak, strong = signs + rng.normal(size=n), 2 * signs + rng.normal(size=n)
    stages = tuple(StageOutputs(np.stack([-z, z], axis=1)) for z in (weak, strong))
    names = np.array([f"g{i // 4}" for i in range(n)]) if groups else None
    return SplitScores("val_test", "d", "engine", labels, stages, names)


POINT = OperatingPoint((StageRule(threshold=3.0), StageRule(threshold=2.0)))


@pytest.mark.parametrize("point", [POINT, OperatingPoint((StageRule(), StageRule()))])
def test_the_outcome_is_what_the_deciding_function_decides(point: OperatingPoint) -> None:
    scores = _scores()
    outcome = apply_policy(scores, point)
    for row, decision in enumerate(decide(scores.stages, point)):
        assert outcome.answered[row] == (decision.decision == "answer")
        assert "AB"[outcome.by_stage[row]] == decision.stage
        assert tuple(outcome.probabilities[row]) == decision.probabilities
        if decision.label is not None:
            assert outcome.forced[row] == decision.label


def test_sets_of_one_label_are_the_answer_even_where_another_is_more_probable() -> None:
    """Three classes, a set threshold: the answer is the set's only member, an empty set abstains."""
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.45, 0.44, 0.11]]))
    scores = SplitScores("val_test", "d", "e", np.array([0, 0, 1]), (StageOutputs(logits),))
    rule = StageRule(threshold=0.0, set_threshold=0.42)
    outcome = apply_policy(scores, OperatingPoint((rule,)))
    np.testing.assert_array_equal(outcome.answered, [True, False, False])


def test_figures_by_hand() -> None:
    """Ten images, one stage, margin threshold 1: eight answered, one of them wrongly."""
    margins = np.array([3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 0.5, 0.5])
    predicted = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 1, 0, 0])
    logits = np.where(np.arange(2) == predicted[:, None], margins[:, None], 0.0)
    scores = SplitScores("val_test", "d", "e", labels, (StageOutputs(logits),))
    report = evaluate(scores, OperatingPoint((StageRule(threshold=1.0),)))
    assert report.value("coverage") == 0.8
    error = report["selective_error"]
    assert (error.value, error.n) == (0.125, 8)
    assert error.low == pytest.approx(0.00316, abs=1e-4)  # Clopper-Pearson, 1 of 8
    assert error.high == pytest.approx(0.52651, abs=1e-4)
    assert report.value("answered_recall_1") == 0.8
    assert report.value("answered_recall_0") == 1.0
    assert report.value("answer_error_0") == 0.25
    assert report.value("forced_accuracy") == 0.8
    assert report.value("forced_recall") == 0.8
    assert report.value("forced_specificity") == 0.8
    assert report.value("forced_mcc") == pytest.approx(0.6)
    assert REWARD not in report
    reward = evaluate(scores, OperatingPoint((StageRule(threshold=1.0),)), named_task="roadwork")[REWARD]
    assert reward.value == pytest.approx(simulated_reward(0.8, 0.8), abs=0.01)
    assert (reward.low or 0.0) < (reward.value or 0.0) < (reward.high or 0.0)
    assert report.value("stage_a_share") == 1.0


def test_nothing_answered_is_undefined_and_not_zero() -> None:
    report = evaluate(_scores(50), OperatingPoint((StageRule(), StageRule())))
    assert report.value("coverage") == 0.0
    assert report.value("selective_error") is None
    assert report.value("stage_a_share") is None


def test_grouped_images_get_wider_intervals_than_counting_them_as_independent() -> None:
    scores = _scores(400, groups=True)
    # All frames of a group alike: the first frame's outputs and label.
    first = np.repeat(np.arange(0, 400, 4), 4)
    alike = replace(scores.take(first), groups=scores.groups)
    grouped = evaluate(alike, POINT)["coverage"]
    counted = evaluate(replace(alike, groups=None), POINT)["coverage"]
    assert grouped.value == counted.value
    assert None not in (grouped.low, grouped.high, counted.low, counted.high)
    width_grouped = (grouped.high or 0) - (grouped.low or 0)
    width_counted = (counted.high or 0) - (counted.low or 0)
    assert width_grouped > 1.6 * width_counted


def test_no_errors_in_groups_still_leave_an_upper_end() -> None:
    labels = np.zeros(40, dtype=np.int64)
    logits = np.tile([5.0, 0.0], (40, 1))
    groups = np.array([f"g{i // 10}" for i in range(40)])
    scores = SplitScores("val_test", "d", "e", labels, (StageOutputs(logits),), groups)
    error = evaluate(scores, OperatingPoint((StageRule(threshold=1.0),)))["selective_error"]
    assert error.value == 0.0
    assert error.high == pytest.approx(1 - 0.025 ** (1 / 4))


def test_an_empty_split_is_named() -> None:
    empty = _scores(4).take(np.array([], dtype=np.int64))
    with pytest.raises(RunError, match="val_test is empty"):
        evaluate(empty, POINT)


def test_files(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    report = evaluate(_scores(), POINT)
    write_report(report, run)
    with (run.metrics / "metrics_selective.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(rows["coverage"]["value"]) == pytest.approx(report.value("coverage"), rel=1e-5)
    assert float(rows["coverage"]["low_95"]) < float(rows["coverage"]["high_95"])
    assert read_json(run.report)["n"] == 400
