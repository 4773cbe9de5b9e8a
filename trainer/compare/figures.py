"""Figures of methods that were trained alike, each beside full training on the same images."""

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
    """One method, one seed; every figure on val_test unless it says otherwise."""

    method: str
    seed: int
    rate: float
    accuracy: float
    balanced_mcc: float
    augrc: float
    """Of the score that val_select chose; lower is better"""
    score: str
    planned_coverage: float
    """What val_select lets a certificate expect"""
    certified_coverage: float
    """Share of val_calib answered by a policy certified there; 0 where none can be"""
    gate_coverage: float
    """The same with the gate as the score"""
    gate_feasible: bool
    """Whether the gate meets both limits at once: the risk, certified, and the least coverage"""
    seconds: float
    trained: int
    parameters: int
    step_bytes: int

    @property
    def trained_share(self) -> float:
        return self.trained / self.parameters


@dataclass(frozen=True, slots=True)
class Ranked:
    """One seed's answers on val_test, which intervals are drawn from."""

    predictions: IntArray
    """[n]"""
    confidence: FloatArray
    """[n]"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A method's figure minus full training's, averaged over the seeds, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether chance alone does not explain it."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class MethodSummary:
    """One method over all seeds."""

    method: str
    title: str
    runs: tuple[SeedFigures, ...]
    against_full: Mapping[str, Difference]
    """By metric of `COMPARED`; empty for full training itself, or where it was left out"""

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


def judge(
    select: SplitScores, calib: SplitScores, test: SplitScores, promise: PromiseConfig
) -> tuple[dict[str, Any], Ranked]:
    """The figures of one trained model by the names of `SeedFigures`, and its answers on val_test.

    val_select chooses the score, val_calib certifies, val_test is reported on. Each method has its own
    certificate on the same val_calib: figures to compare by, none of them a promise.
    """
    fit = fit_gate(select, promise, calib.n_groups)
    rule = fit.rules[0]
    planned = next(row.planned_coverage for row in fit.rows if row.chosen)
    certified, _ = _certified(select, calib, rule, promise)
    by_gate, gate_feasible = _certified(select, calib, fit_rule(select.table(0), "gate"), promise)
    raw, labels = test.stages[0], test.labels
    ranked = Ranked(raw.logits.argmax(axis=-1), rule.confidence(raw))
    figures = {
        **{name: metric(labels, ranked.predictions, ranked.confidence) for name, metric in COMPARED.items()},
        "score": rule.score,
        "planned_coverage": planned,
        "certified_coverage": certified,
        "gate_coverage": by_gate,
        "gate_feasible": gate_feasible,
    }
    return figures, ranked


def _certified(
    select: SplitScores, calib: SplitScores, rule: StageRule, promise: PromiseConfig
) -> tuple[float, bool]:
    """(coverage of the certified policy on val_calib, whether it meets both limits)."""
    certificate = prove(Evidence(select, calib, (rule,), (1.0,), promise)).certificate
    coverage = certificate.coverage if certificate.feasible else 0.0
    return coverage, certificate.feasible and certificate.meets_coverage


def against_full(
    test: SplitScores, full: Sequence[Ranked], other: Sequence[Ranked], seed: int
) -> dict[str, Difference]:
    """Paired bootstrap over the test images (whole groups, where there are groups) of other - full.

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


def _stacked(seeds: Sequence[Ranked]) -> tuple[IntArray, FloatArray]:
    """(predictions, confidence), each [n, seeds]"""
    predictions = np.stack([ranked.predictions for ranked in seeds], axis=1)
    return predictions, np.stack([ranked.confidence for ranked in seeds], axis=1)
