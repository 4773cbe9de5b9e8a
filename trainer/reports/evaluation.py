"""The report on a labelled split: figures of the policy with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.bounds import clopper_pearson_lower, clopper_pearson_upper
from calibration.decision import STAGE_KEYS, OperatingPoint, StageRule
from calibration.metrics import (
    augrc,
    balanced_mcc,
    brier,
    expected_calibration_error,
    mcc,
    nll,
    recall,
    simulated_reward,
    specificity,
)
from calibration.resampling import Interval, bootstrap
from calibration.scores import IntArray, softmax
from trainer.certify.policy_outcome import PolicyOutcome, apply_policy
from trainer.choices import NamedTask
from trainer.errors import RunError
from trainer.run.folder import RunFolder, write_csv, write_json
from trainer.scoring.split_scores import SplitScores

RESAMPLES = 1000
REWARD_RESAMPLES, REWARD_WINDOWS = 200, 1_000
"""Bootstrap draws for the interval of the reward, and simulated windows per draw."""
REWARD = "forced_simulated_reward"
"""Metric of the roadwork task alone"""
TAIL = 0.025
"""Probability on each side of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure with its interval."""

    metric: str
    value: float | None
    """None if undefined: nothing is answered, or a class does not occur"""
    low: float | None
    high: float | None
    n: int
    """Number of images"""
    interval: str
    """Method of the interval"""


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one policy on one split."""

    split: str
    digest: str
    n: int
    units: int
    """Independent units: groups, or images without groups"""
    measurements: tuple[Measurement, ...]

    def __getitem__(self, metric: str) -> Measurement:
        for measurement in self.measurements:
            if measurement.metric == metric:
                return measurement
        raise KeyError(metric)

    def __contains__(self, metric: str) -> bool:
        return any(measurement.metric == metric for measurement in self.measurements)

    def value(self, metric: str) -> float | None:
        return self[metric].value

    def to_dict(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "digest": self.digest,
            "n": self.n,
            "units": self.units,
            "measurements": [asdict(measurement) for measurement in self.measurements],
        }


def evaluate(
    scores: SplitScores, point: OperatingPoint, *, seed: int = 0, named_task: NamedTask | None = None
) -> Report:
    """Coverage, error among the answered, selective and forced metrics of a policy on one split.

    named_task: the reference task that the images belong to; its own figures are added.
    """
    if len(scores) == 0:
        raise RunError(f"{scores.split} is empty; there is nothing to report on")
    outcome = apply_policy(scores, point)
    measurements = [
        _share("coverage", outcome.answered, outcome, seed),
        _selective_error(outcome, seed),
        _conditional("stage_a_share", outcome.by_stage == 0, outcome.answered, outcome, seed),
        *_per_class(outcome, seed),
        *_forced(outcome, seed),
    ]
    if named_task == "roadwork" and outcome.probabilities.shape[1] == 2:
        measurements.append(_reward(outcome, seed))
    for index, (raw, rule) in enumerate(zip(scores.stages, point.stages, strict=True)):
        measurements.extend(_stage(STAGE_KEYS[index], scores, raw.logits, rule, seed, index))
    return Report(scores.split, scores.digest, len(scores), scores.n_groups, tuple(measurements))


def _selective_error(outcome: PolicyOutcome, seed: int) -> Measurement:
    """Share of wrong answers: exact interval for independent images, group bootstrap otherwise.

    Without errors a bootstrap interval would be [0, 0]; the upper end is then the exact one for the number of
    groups with an answer.
    """
    answered, errors = int(outcome.answered.sum()), int(outcome.wrong.sum())
    if answered == 0:
        return Measurement("selective_error", None, None, None, 0, "nothing answered")
    if outcome.groups is None or errors == 0:
        units = answered if outcome.groups is None else len(np.unique(outcome.groups[outcome.answered]))
        low = float(clopper_pearson_lower(errors, units, TAIL))
        high = float(clopper_pearson_upper(errors, units, TAIL))
        how = "Clopper-Pearson" + ("" if outcome.groups is None else " on groups")
        return Measurement("selective_error", errors / answered, low, high, answered, how)
    return _conditional("selective_error", outcome.wrong, outcome.answered, outcome, seed)


def _per_class(outcome: PolicyOutcome, seed: int) -> list[Measurement]:
    """Per class: recall among its answered images, and error among the answers that name it."""
    measurements = []
    for k in range(outcome.probabilities.shape[1]):
        of_class = outcome.answered & (outcome.labels == k)
        named = outcome.answered & (outcome.forced == k)
        right = outcome.forced == outcome.labels
        measurements.append(_conditional(f"answered_recall_{k}", right, of_class, outcome, seed))
        measurements.append(_conditional(f"answer_error_{k}", ~right, named, outcome, seed))
    return measurements


def _forced(outcome: PolicyOutcome, seed: int) -> list[Measurement]:
    """Forced metrics: every image gets the most probable label of the last computed stage."""
    measurements = [_share("forced_accuracy", outcome.forced == outcome.labels, outcome, seed)]
    statistics: dict[str, Callable[[IntArray, IntArray], float]] = {
        "forced_mcc": mcc,
        "forced_balanced_mcc": balanced_mcc,
    }
    if outcome.probabilities.shape[1] == 2:
        statistics |= {"forced_recall": recall, "forced_specificity": specificity}
    for name, statistic in statistics.items():
        interval = _bootstrap(statistic, outcome.labels, outcome.forced, groups=outcome.groups, seed=seed)
        measurements.append(_from_interval(name, interval, len(outcome), outcome.groups))
    return measurements


def _reward(outcome: PolicyOutcome, seed: int) -> Measurement:
    """Reward of the roadwork task for a stream of forced answers (see `simulated_reward`)."""

    def earned(labels: IntArray, forced: IntArray, windows: int = REWARD_WINDOWS) -> float:
        return simulated_reward(recall(labels, forced), specificity(labels, forced), windows=windows)

    arrays = (outcome.labels, outcome.forced)
    interval = bootstrap(earned, *arrays, groups=outcome.groups, resamples=REWARD_RESAMPLES, seed=seed)
    measured = _from_interval(REWARD, interval, len(outcome), outcome.groups)
    return replace(measured, value=_defined(earned(*arrays, windows=20_000)))


def _stage(
    name: str, scores: SplitScores, logits: NDArray[np.float64], rule: StageRule, seed: int, index: int
) -> list[Measurement]:
    """One stage alone: ranking, accuracy and calibration of its probabilities."""
    confidence = rule.confidence(scores.stages[index])
    errors = logits.argmax(axis=-1) != scores.labels
    probabilities = softmax(logits / rule.temperature)
    interval = _bootstrap(augrc, errors, confidence, groups=scores.groups, seed=seed)
    plain = {
        "accuracy": float(1.0 - errors.mean()),
        "ece": expected_calibration_error(probabilities, scores.labels),
        "brier": brier(probabilities, scores.labels),
        "nll": nll(probabilities, scores.labels),
    }
    return [
        _from_interval(f"stage_{name}_augrc", interval, len(scores), scores.groups),
        *(
            Measurement(f"stage_{name}_{metric}", value, None, None, len(scores), "none")
            for metric, value in plain.items()
        ),
    ]


def _share(metric: str, hits: NDArray[np.bool_], outcome: PolicyOutcome, seed: int) -> Measurement:
    return _conditional(metric, hits, np.ones(len(outcome), dtype=np.bool_), outcome, seed)


def _conditional(
    metric: str, hits: NDArray[np.bool_], among: NDArray[np.bool_], outcome: PolicyOutcome, seed: int
) -> Measurement:
    """Share of `hits` among the rows `among`."""
    m = int(among.sum())
    if m == 0:
        return Measurement(metric, None, None, None, 0, "no such images")
    if outcome.groups is None:
        k = int((hits & among).sum())
        low, high = float(clopper_pearson_lower(k, m, TAIL)), float(clopper_pearson_upper(k, m, TAIL))
        return Measurement(metric, k / m, low, high, m, "Clopper-Pearson")
    interval = _bootstrap(_ratio, hits & among, among, groups=outcome.groups, seed=seed)
    return _from_interval(metric, interval, m, outcome.groups)


def _ratio(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    m = np.count_nonzero(among)
    return np.count_nonzero(hits) / m if m else float("nan")


def _bootstrap(
    statistic: Callable[..., float], *arrays: NDArray[Any], groups: NDArray[np.str_] | None, seed: int
) -> Interval:
    return bootstrap(statistic, *arrays, groups=groups, resamples=RESAMPLES, seed=seed)


def _from_interval(metric: str, interval: Interval, n: int, groups: NDArray[np.str_] | None) -> Measurement:
    how = f"bootstrap of {interval.units} {'images' if groups is None else 'groups'}"
    value, low, high = (_defined(part) for part in (interval.estimate, interval.low, interval.high))
    return Measurement(metric, value, low, high, n, how)


def _defined(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def write_report(report: Report, run: RunFolder) -> None:
    """Write metrics/report.json and metrics/metrics_selective.csv."""
    write_json(run.report, report.to_dict())
    write_csv(
        run.metrics / "metrics_selective.csv",
        ["split", "metric", "value", "low_95", "high_95", "images", "interval"],
        [[report.split, m.metric, m.value, m.low, m.high, m.n, m.interval] for m in report.measurements],
    )
