"""Calibration of each stage's outputs and choice of its score, fitted on val_select alone.

For each stage: a temperature for the logits, Platt scaling for the gate, and the choice among the scores
softmax, margin and gate. Scores are compared by group-wise cross-fitting, so that none is measured on the
rows that fitted it (a gate measured on its own fitting rows looks better than it is).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.decision import STAGE_NAMES, StageRule
from calibration.metrics import augrc
from calibration.planning.thresholds import planned_coverage
from calibration.probability import fit_platt, fit_temperature
from calibration.resampling import bootstrap_difference
from calibration.scores import BoolArray, FloatArray, IntArray, ScoreTable
from trainer.choices import ScoreChoice
from trainer.errors import RunError
from trainer.run.folder import RunFolder, read_json, write_csv, write_json
from trainer.run.promise import PromiseConfig
from trainer.scoring.split_scores import SplitScores

FOLDS = 5
_PREFERENCE = ("margin", "softmax", "gate")
"""Order of preference among equal scores: the margin has the finest steps, the gate needs a fit."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score of one stage, measured on held-out rows."""

    stage: str
    score: str
    augrc: float
    """Lower is better."""
    planned_coverage: float
    """Share that a certificate on the calibration split would answer, by the errors on these rows."""
    feasible: bool
    """Whether both limits are within reach: the certified error and the minimum coverage"""
    better_than_margin: tuple[float, float, float]
    """AUGRC of the margin minus this AUGRC, with its 95 % interval; positive is better."""
    n: int
    errors: int
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class GateFit:
    """The rules of all stages, without thresholds, and the comparison that chose their scores."""

    rules: tuple[StageRule, ...]
    rows: tuple[ScoreRow, ...]

    def sentences(self) -> tuple[str, ...]:
        """One sentence per stage: the chosen score and its lead."""
        return tuple(_sentence(stage, self.rows) for stage in dict.fromkeys(row.stage for row in self.rows))


def fit_gate(select: SplitScores, promise: PromiseConfig, n_calibration: int) -> GateFit:
    """Fit every stage's rule on val_select; `promise.score` names the score, or `best` compares them."""
    if len(select) == 0:
        raise RunError("val_select is empty; the gate and the temperature are fitted there")
    rules: list[StageRule] = []
    rows: list[ScoreRow] = []
    for index in range(len(select.stages)):
        table, name = select.table(index), STAGE_NAMES[index]
        compared = compare_scores(table, name, promise, n_calibration)
        chosen = choose_score(compared, promise.score)
        rows.extend(replace(row, chosen=row.score == chosen) for row in compared)
        rules.append(fit_rule(table, chosen))
    return GateFit(tuple(rules), tuple(rows))


def fit_rule(table: ScoreTable, score: str) -> StageRule:
    """Temperature and Platt scaling of one stage; the threshold stays open."""
    raw = table.outputs
    temperature = fit_temperature(*_with_one_error(raw.logits, table.labels))
    slope, intercept = 1.0, 0.0
    if raw.gate is not None:
        slope, intercept = fit_platt(raw.gate, raw.logits.argmax(axis=-1) == table.labels)
        if slope <= 0.0:
            # The gate does not rank correctness: it stays as it is rather than being inverted.
            slope, intercept = 1.0, 0.0
    return StageRule(score=score, temperature=temperature, gate_slope=slope, gate_intercept=intercept)


def _with_one_error(logits: FloatArray, labels: IntArray) -> tuple[FloatArray, IntArray]:
    """The rows and an artificial one: the median image with a wrong label.

    If every answer is right, the likelihood has no maximum: the temperature falls towards 0, and every
    probability becomes exactly 1.
    """
    margins = np.partition(logits, -2, axis=-1)[:, -2:] @ np.array([-1.0, 1.0])
    typical = logits[np.argsort(margins, kind="stable")[len(logits) // 2]]
    runner_up = np.argsort(typical, kind="stable")[-2]
    return np.vstack([logits, typical]), np.append(labels, runner_up)


def compare_scores(
    table: ScoreTable, stage: str, promise: PromiseConfig, n_calibration: int
) -> list[ScoreRow]:
    """Every score of the stage, fitted on four fifths of the groups and measured on the rest, five times."""
    names = [name for name in _PREFERENCE if name != "gate" or table.outputs.gate is not None]
    errors = table.outputs.logits.argmax(axis=-1) != table.labels
    confidence = {name: np.empty(len(table)) for name in names}
    for fitting, held_out in _folds(table):
        for name in names:
            rule = fit_rule(table.take(fitting), name)
            confidence[name][held_out] = rule.confidence(table.take(held_out).outputs)
    rows = []
    for name in names:
        difference = bootstrap_difference(
            augrc,
            (errors, confidence["margin"]),
            (errors, confidence[name]),
            groups=table.groups,
            resamples=500,
            seed=promise.seed,
        )
        planned = _planned_coverage(errors, confidence[name], promise, n_calibration)
        rows.append(
            ScoreRow(
                stage=stage,
                score=name,
                augrc=augrc(errors, confidence[name]),
                planned_coverage=planned,
                feasible=planned > 0.0 and planned >= promise.min_coverage,
                better_than_margin=(float(difference), float(difference.low), float(difference.high)),
                n=len(table),
                errors=int(errors.sum()),
            )
        )
    return rows


def choose_score(rows: Sequence[ScoreRow], wanted: ScoreChoice) -> str:
    """`wanted`, or for `best`: the margin, unless another score is better beyond chance.

    A score is better if its AUGRC is lower with the whole paired 95 % interval on that side, or if its AUGRC
    is not higher and it plans at least one point of coverage more.
    """
    offered = {row.score: row for row in rows}
    if wanted != "best":
        if wanted not in offered:
            raise RunError(
                f"score is {wanted!r}, but the model has no gate output; choose {', '.join(offered)}"
            )
        return wanted
    margin = offered["margin"]
    better = [
        row
        for row in rows
        if row.better_than_margin[1] > 0.0
        or (row.augrc <= margin.augrc and row.planned_coverage >= margin.planned_coverage + 0.01)
    ]
    return min(better, key=lambda row: row.augrc).score if better else "margin"


def _planned_coverage(
    errors: BoolArray, confidence: FloatArray, promise: PromiseConfig, n_calibration: int
) -> float:
    """Coverage from lowering one threshold over these rows, see `planned_coverage`."""
    seen = np.cumsum(errors[np.argsort(-confidence, kind="stable")], dtype=np.int64)
    return planned_coverage(np.arange(1, len(seen) + 1), seen, len(seen), n_calibration, promise.target)


def _folds(table: ScoreTable) -> Iterator[tuple[IntArray, IntArray]]:
    """(fitting rows, measured rows) of each fold; a group is never in both."""
    n = len(table)
    units = np.arange(n) if table.groups is None else np.unique(table.groups, return_inverse=True)[1]
    n_units = int(units.max()) + 1
    fold_of_unit = np.random.default_rng(0).permutation(n_units) % FOLDS
    fold = fold_of_unit[units]
    for index in range(FOLDS):
        held_out = np.flatnonzero(fold == index)
        fitting = np.flatnonzero(fold != index)
        if len(held_out):
            # A single group fits itself, since nothing else is left.
            yield (fitting if len(fitting) else held_out), held_out


def _sentence(stage: str, rows: Sequence[ScoreRow]) -> str:
    own = [row for row in rows if row.stage == stage]
    chosen = next(row for row in own if row.chosen)
    others = ", ".join(_beside(row) for row in own if row is not chosen)
    reach = "within reach" if chosen.feasible else "out of reach"
    return (
        f"Stage {stage} ranks by {_beside(chosen)}; alone it plans to answer "
        f"{100 * chosen.planned_coverage:.0f} %, both limits {reach}"
        + (f". Beside it: {others}" if others else "")
    )


def _beside(row: ScoreRow) -> str:
    """The AUGRC of a score, and its paired difference to that of the margin with the 95 % interval."""
    text = f"{row.score}, AUGRC x 1000 {1000 * row.augrc:.2f}"
    if row.score == "margin":
        return text
    gain, low, high = (1000 * value for value in row.better_than_margin)
    return f"{text} ({gain:+.2f} against the margin, {low:+.2f} to {high:+.2f}; above 0 is better)"


def write_gate(fit: GateFit, run: RunFolder) -> None:
    """Write gateparams.json and metrics/gate_training.csv."""
    write_json(
        run.gate,
        {
            "fitted_on": "val_select",
            "stages": {
                name: {
                    "score": rule.score,
                    "temperature": rule.temperature,
                    "gate_slope": rule.gate_slope,
                    "gate_intercept": rule.gate_intercept,
                }
                for name, rule in zip(STAGE_NAMES, fit.rules, strict=False)
            },
            "choice": list(fit.sentences()),
        },
    )
    write_csv(
        run.metrics / "gate_training.csv",
        (
            *("stage", "score", "chosen", "augrc", "augrc_gain_over_margin", "gain_low", "gain_high"),
            *("planned_coverage", "feasible", "images", "errors"),
        ),
        [
            (
                *(row.stage, row.score, row.chosen, row.augrc, *row.better_than_margin),
                *(row.planned_coverage, row.feasible, row.n, row.errors),
            )
            for row in fit.rows
        ],
    )


def read_rules(run: RunFolder) -> tuple[StageRule, ...]:
    """The fitted rules of a finished run, without thresholds."""
    stages = read_json(run.need(run.gate, "demur gate"))["stages"]
    return tuple(StageRule(threshold=None, **stages[name]) for name in STAGE_NAMES if name in stages)
