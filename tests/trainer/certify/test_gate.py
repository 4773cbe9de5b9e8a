from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.scores import ScoreTable, StageOutputs
from trainer.certify.gate import (
    choose_score,
    compare_scores,
    fit_gate,
    fit_rule,
    read_rules,
    write_gate,
)
from trainer.errors import RunError
from trainer.run.folder import RunFolder
from trainer.run.promise import PromiseConfig
from trainer.scoring.split_scores import SplitScores

PROMISE = PromiseConfig()


def _table(n: int, *, gate: str | None, seed: int = 0, groups: bool = False) -> ScoreTable:
    """Two classes; `gate` "knows" correctness well, "noise" not at all."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    z = (2.0 * labels - 1.0) * 1.6 + rng.normal(size=n)
    logits = 3.0 * np.stack([-z, z], axis=1)
    correct = logits.argmax(axis=1) == labels
    outputs = {
        None: None,
        "knows": np.where(correct, 2.0, -2.0) + rng.normal(size=n),
        "noise": rng.normal(size=n),
    }[gate]
    names = np.array([f"g{i // 3}" for i in range(n)]) if groups else None
    return ScoreTable(StageOutputs(logits, outputs), labels, names)


def _split(table: ScoreTable) -> SplitScores:
    return SplitScores("val_select", "d", "e", table.labels, (table.outputs,), table.groups)


def test_a_gate_that_knows_more_wins_and_one_that_guesses_does_not() -> None:
    knowing = compare_scores(_table(800, gate="knows"), "B", PROMISE, 1500)
    assert choose_score(knowing, "best") == "gate"
    guessing = compare_scores(_table(800, gate="noise"), "B", PROMISE, 1500)
    assert choose_score(guessing, "best") == "margin"


def test_a_named_score_is_taken_and_a_missing_gate_is_said() -> None:
    rows = compare_scores(_table(200, gate=None), "A", PROMISE, 500)
    assert choose_score(rows, "softmax") == "softmax"
    with pytest.raises(RunError, match=r"score is 'gate', but the model has no gate output"):
        choose_score(rows, "gate")


def test_no_score_is_judged_on_the_rows_that_fitted_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fit sees no row of the group that it is applied to."""
    import trainer.certify.gate as gate

    seen: list[tuple[set[str], set[str]]] = []
    folds = gate._folds

    def watching(table: ScoreTable):  # type: ignore[no-untyped-def]
        for fitting, held_out in folds(table):
            assert table.groups is not None
            seen.append((set(table.groups[fitting].tolist()), set(table.groups[held_out].tolist())))
            yield fitting, held_out

    monkeypatch.setattr(gate, "_folds", watching)
    compare_scores(_table(90, gate="noise", groups=True), "B", PROMISE, 100)
    assert len(seen) == 5
    assert all(not fitting & held_out for fitting, held_out in seen)
    assert set.union(*(held_out for _, held_out in seen)) == {f"g{i}" for i in range(30)}


def test_temperature_undoes_overconfidence() -> None:
    # z = (2 y - 1) 1.6 + noise has the log odds 3.2 z; the logits (-3 z, 3 z) say 6 z.
    assert fit_rule(_table(20_000, gate=None), "margin").temperature == pytest.approx(6 / 3.2, rel=0.06)


def test_a_perfect_split_keeps_readable_probabilities() -> None:
    logits = np.tile([4.0, -4.0], (50, 1))
    table = ScoreTable(StageOutputs(logits), np.zeros(50, dtype=np.int64))
    # One imagined error among 51.
    assert fit_rule(table, "softmax").confidence(table.outputs) == pytest.approx(50 / 51)


def test_a_gate_that_points_the_wrong_way_is_not_turned_round() -> None:
    table = _table(500, gate="knows")
    assert table.outputs.gate is not None
    turned = ScoreTable(StageOutputs(table.outputs.logits, -table.outputs.gate), table.labels)
    rule = fit_rule(turned, "gate")
    assert (rule.gate_slope, rule.gate_intercept) == (1.0, 0.0)


def test_planned_coverage_grows_with_labels_and_is_zero_without() -> None:
    table = _table(2000, gate=None)
    plans = [compare_scores(table, "B", PROMISE, n)[0].planned_coverage for n in (0, 200, 600, 1500, 5000)]
    assert plans[:2] == [0.0, 0.0]
    assert plans == sorted(plans)
    assert 0.6 < plans[-1] < 0.9


@pytest.mark.parametrize("n", [1, 2, 7])
def test_tiny_splits_are_fitted_all_the_same(n: int) -> None:
    fit = fit_gate(_split(_table(n, gate="noise")), PROMISE, 3)
    assert fit.rules[0].threshold is None
    assert fit.rules[0].score in ("margin", "softmax", "gate")


def test_an_empty_split_is_said() -> None:
    with pytest.raises(RunError, match="val_select is empty"):
        fit_gate(_split(_table(4, gate=None)).take(np.array([], dtype=np.int64)), PROMISE, 3)


def test_rules_come_back_from_the_run_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    fit = fit_gate(_split(_table(300, gate="knows")), PROMISE, 500)
    write_gate(fit, run)
    assert read_rules(run) == fit.rules
    header = (run.metrics / "gate_training.csv").read_text().splitlines()
    assert header[0].startswith("stage,score,chosen,augrc")
    assert len(header) == 4


def test_both_limits_are_judged_and_the_winner_says_by_how_much() -> None:
    table = _table(2000, gate="knows")
    fit = fit_gate(_split(table), PROMISE, 5000)
    chosen = next(row for row in fit.rows if row.chosen)
    assert (chosen.score, chosen.feasible) == ("gate", True)
    gain, low, high = (1000 * value for value in chosen.better_than_margin)
    assert 0.0 < low < gain < high
    (sentence,) = fit.sentences()
    assert f"({gain:+.2f} against the margin, {low:+.2f} to {high:+.2f}; above 0 is better)" in sentence
    assert "both limits within reach" in sentence
    # A certificate can be had, but not at the coverage that is asked for; or none at all.
    for promise, labels in ((PROMISE.changed({"min_coverage": 0.99}), 5000), (PROMISE, 200)):
        unreachable = fit_gate(_split(table), promise, labels)
        assert not any(row.feasible for row in unreachable.rows)
        assert "both limits out of reach" in unreachable.sentences()[0]
