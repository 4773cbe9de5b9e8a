"""Figures of methods that were trained on the same images, and their differences to full training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from calibration.decision import StageRule
from calibration.metrics import augrc, balanced_mcc
from calibration.resampling import bootstrap_difference
from calibration.scores import FloatArray, IntArray
from trainer.certify.certification import prove
from trainer.certify.evidence import Evidence
from trainer.certify.gate import fit_gate, fit_rule
from trainer.run.promise import PromiseConfig
from trainer.scoring.split_scores import SplitScores

RESAMPLES = 1000
REFERENCE = "full"


@dataclass(frozen=True, slots=True)
class SeedFigures:
    """Figures of one method with one seed, on val_test unless stated otherwise."""

    method: str
    seed: int
    rate: float
    accuracy: float
    balanced_mcc: float
    augrc: float
    """AUGRC of the score chosen on val_select; lower is better"""
    score: str
    planned_coverage: float
    """Coverage that val_select predicts for a certificate"""
    certified_coverage: float
    """Share of val_calib that a policy certified there answers; 0 if none can be certified"""
    gate_coverage: float
    """The same with the gate as the score"""
    gate_feasible: bool
    """Whether the gate meets both limits: the certified risk and the least coverage"""
    seconds: float
    trained: int
    parameters: int
    step_bytes: int

    @property
    def trained_share(self) -> float:
        return self.trained / self.parameters


@dataclass(frozen=True, slots=True)
class AnswersOnTest:
    """Predictions of one seed on val_test, from which intervals are resampled."""

    predictions: IntArray
    """[n]"""
    confidence: FloatArray
    """[n]"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Figure of a method minus that of full training, averaged over the seeds, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class MethodSummary:
    """Figures of one method over all seeds."""

    method: str
    title: str
    runs: tuple[SeedFigures, ...]
    against_full: Mapping[str, Difference]
    """Metric of `COMPARED` -> difference; empty for full training itself, or without it"""

    def mean(self, figure: str) -> float:
        return float(np.mean([getattr(run, figure) for run in self.runs]))

    def spread(self, figure: str) -> float:
        """Standard deviation over the seeds; 0 for one seed."""
        values = [float(getattr(run, figure)) for run in self.runs]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _accuracy(labels: IntArray, predictions: IntArray, _: FloatArray) -> float:
    return float(np.mean(labels == predictions))


def _mcc(labels: IntArray, predictions: IntArray, _: FloatArray) -> float:
    return balanced_mcc(labels, predictions)


def _augrc(labels: IntArray, predictions: IntArray, confidence: FloatArray) -> float:
    return augrc(labels != predictions, confidence)


COMPARED: Mapping[str, Callable[[IntArray, IntArray, FloatArray], float]] = MappingProxyType(
    {"accuracy": _accuracy, "balanced_mcc": _mcc, "augrc": _augrc}
)


def figures_of(
    select: SplitScores, calib: SplitScores, test: SplitScores, promise: PromiseConfig
) -> tuple[dict[str, Any], AnswersOnTest]:
    """Figures of one trained model by the names of `SeedFigures`, and its answers on val_test.

    val_select chooses the score, val_calib certifies, val_test gives the figures. Each method gets its own
    certificate on the same val_calib, so these are figures for comparison and no promise.
    """
    fit = fit_gate(select, promise, calib.n_groups)
    rule = fit.rules[0]
    planned = next(row.planned_coverage for row in fit.rows if row.chosen)
    certified, _ = _certified(select, calib, rule, promise)
    by_gate, gate_feasible = _certified(select, calib, fit_rule(select.table(0), "gate"), promise)
    raw, labels = test.stages[0], test.labels
    confidence = rule.confidence(raw)
    confidence = rule.confidence(raw)
    answers = AnswersOnTest(raw.logits.argmax(axis=-1), confidence)
    figures = {
        **{name: metric(labels, answers.predictions, confidence) for name, metric in COMPARED.items()},
        "score": rule.score,
        "planned_coverage": planned,
        "certified_coverage": certified,
        "gate_coverage": by_gate,
        "gate_feasible": gate_feasible,
    }
    return figures, answers


def _certified(
    select: SplitScores, calib: SplitScores, rule: StageRule, promise: PromiseConfig
) -> tuple[float, bool]:
    """(coverage of the certified policy on val_calib, whether it meets both limits)."""
    certificate = prove(Evidence(select, calib, (rule,), (1.0,), promise)).certificate
    coverage = certificate.coverage if certificate.feasible else 0.0
    return coverage, certificate.feasible and certificate.meets_coverage


def against_full(
    test: SplitScores, full: Sequence[AnswersOnTest], other: Sequence[AnswersOnTest], seed: int
) -> dict[str, Difference]:
    """Paired bootstrap of other - full over the test images (whole groups if there are groups).

    Seeds are paired in order; each resample draws the same images for every seed of both methods, and
    the statistic is the mean over the seeds.
    """
    differences = {}
    for name, metric in COMPARED.items():

        def over_seeds(
            labels: IntArray,
            predictions: IntArray,
            confidence: FloatArray,
            metric: Callable[[IntArray, IntArray, FloatArray], float] = metric,
        ) -> float:
            seeds = range(predictions.shape[1])
            return float(np.mean([metric(labels, predictions[:, s], confidence[:, s]) for s in seeds]))

        found = bootstrap_difference(
            over_seeds,
            (test.labels, *_stacked(other)),
            (test.labels, *_stacked(full)),
            groups=test.groups,
            resamples=RESAMPLES,
            seed=seed,
        )
        differences[name] = Difference(float(found), float(found.low), float(found.high))
    return differences


def _stacked(seeds: Sequence[AnswersOnTest]) -> tuple[IntArray, FloatArray]:
    """(predictions, confidence), each [n, seeds]"""
    predictions = np.stack([ranked.predictions for ranked in seeds], axis=1)
    return predictions, np.stack([ranked.confidence for ranked in seeds], axis=1)
