"""The decision rule: the one function that is certified offline and decides online.

Stage A answers if its confidence is high enough; images that it does not answer go to stage B; the decision
on images that B does not answer either is to abstain. `confidence >= threshold` answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from calibration.scores import BoolArray, FloatArray, IntArray, StageOutputs, score_by_name, softmax

StageName = Literal["A", "B"]
Reason = Literal["ambiguous", "atypical", "no-promise", "suspended"]
"""Why an image is not answered. no-promise: the operating point answers no image at all. suspended: the
bundle answers none until a person resets it, because its promise is broken."""
DecisionKind = Literal["answer", "abstain"]

STAGE_NAMES: tuple[StageName, StageName] = ("A", "B")
FAST_STAGE, STRONG_STAGE = STAGE_NAMES
STAGE_KEYS: tuple[str, ...] = tuple(name.lower() for name in STAGE_NAMES)
"""The same in names of files, columns and figures"""


@dataclass(frozen=True, slots=True)
class StageRule:
    """Rule by which one stage turns its raw outputs into an answer or passes the image on."""

    score: str = "margin"
    threshold: float | None = None
    """Smallest confidence that is answered; None: the stage answers nothing"""
    temperature: float = 1.0
    """Divisor of the logits, applied before every other computation"""
    gate_slope: float = 1.0
    gate_intercept: float = 0.0
    """Platt scaling of the gate logit: slope * gate + intercept."""
    set_threshold: float | None = None
    """Conformal policies: the prediction set is {k : p_k >= set_threshold}, and only a set of one
    label is an answer. None: the set of a confident image is its most probable label."""
    set_threshold_at_boundary: float | None = None
    """Transductive policies (SCRC-T) only: the set threshold if confidence == threshold exactly"""

    def __post_init__(self) -> None:
        score_by_name(self.score)
        if not self.temperature > 0.0:
            raise ValueError(f"temperature is {self.temperature!r}; it must be positive")
        if self.threshold is not None and not np.isfinite(self.threshold):
            raise ValueError(f"threshold is {self.threshold!r}; it must be finite, or None to answer nothing")

    def calibrated(self, raw: StageOutputs) -> StageOutputs:
        """Raw model outputs with the temperature and the gate's Platt scaling applied."""
        gate = None if raw.gate is None else self.gate_slope * raw.gate + self.gate_intercept
        return StageOutputs(np.asarray(raw.logits, dtype=np.float64) / self.temperature, gate)

    def confidence(self, raw: StageOutputs) -> FloatArray:
        """The confidence that `threshold` is compared with, float64 [n]."""
        return score_by_name(self.score)(self.calibrated(raw))


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Parameters of the decision rule: one `StageRule` per stage, in the order A, B."""

    stages: tuple[StageRule, ...]

    def __post_init__(self) -> None:
        if len(self.stages) not in (1, 2):
            raise ValueError(f"an operating point has one or two stages, not {len(self.stages)}")

    @property
    def answers_nothing(self) -> bool:
        """Whether no stage may answer, as without a feasible certificate."""
        return all(rule.threshold is None for rule in self.stages)


@dataclass(frozen=True, slots=True)
class StageDecisions:
    """Result of the rule for n images at one stage."""

    answered: BoolArray
    """[n]"""
    labels: IntArray
    """[n], the most probable label, also of images that are not answered"""
    probabilities: FloatArray
    """[n, K]"""
    confidence: FloatArray
    """[n]"""
    sets: BoolArray
    """[n, K], membership in the prediction set"""

    def __len__(self) -> int:
        return len(self.answered)


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision on one image."""

    decision: DecisionKind
    label: int | None
    prediction_set: tuple[int, ...]
    probabilities: tuple[float, ...]
    """p(k) of the last stage that was computed, also if it abstains"""
    confidence: float
    stage: StageName
    reason: Reason | None


def suspend(decision: Decision) -> Decision:
    """The decision on an image of a bundle that is suspended: an abstention, whatever it would have answered.
    A bundle that may not answer at all stays what it is."""
    if decision.reason == "no-promise":
        return decision
    every_label = tuple(range(len(decision.probabilities)))
    return replace(decision, decision="abstain", label=None, prediction_set=every_label, reason="suspended")


def answers(confidence: FloatArray, threshold: float | None) -> BoolArray:
    """`confidence >= threshold`, [n]; all False if threshold is None. NaN never answers."""
    if threshold is None:
        return np.zeros(np.shape(confidence), dtype=np.bool_)
    return np.asarray(confidence >= threshold, dtype=np.bool_)


def decide_stage(raw: StageOutputs, rule: StageRule) -> StageDecisions:
    """Decisions of one stage from its raw outputs."""
    outputs = rule.calibrated(raw)
    confidence = score_by_name(rule.score)(outputs)
    probabilities = softmax(outputs.logits)
    labels = np.asarray(outputs.logits.argmax(axis=-1), dtype=np.int64)
    selected = answers(confidence, rule.threshold)
    if rule.set_threshold is None:
        sets = np.arange(probabilities.shape[-1]) == labels[:, None]
        answered = selected
    else:
        cut = np.full(len(labels), rule.set_threshold)
        if rule.set_threshold_at_boundary is not None:
            cut[confidence == rule.threshold] = rule.set_threshold_at_boundary
        sets = probabilities >= cut[:, None]
        answered = selected & (sets.sum(axis=-1) == 1)
    sets |= ~selected[:, None]
    return StageDecisions(answered, labels, probabilities, confidence, sets)


def to_decision(
    outcome: StageDecisions, row: int, stage: StageName, *, answers_nothing: bool = False
) -> Decision:
    """Final decision on one image, from the last stage that computed it. `answers_nothing`: the operating
    point's."""
    members = tuple(k for k, member in enumerate(outcome.sets[row].tolist()) if member)
    answered = bool(outcome.answered[row])
    reason: Reason | None = None
    if answers_nothing:
        reason = "no-promise"
    elif not answered:
        reason = "atypical" if not members else "ambiguous"
    return Decision(
        decision="answer" if answered else "abstain",
        label=members[0] if answered else None,
        prediction_set=members,
        probabilities=tuple(outcome.probabilities[row].tolist()),
        confidence=float(outcome.confidence[row]),
        stage=stage,
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class StageCall:
    """Request of a cascade run for the raw outputs of one stage on some of its images."""

    stage: int
    """Index of the stage"""
    rows: list[int]
    """Indices of the images, in the order of the outputs"""


CascadeRun = Generator[StageCall, StageOutputs, list[Decision]]
"""Yields the next computation, receives its raw outputs, and returns the decisions."""


def run_cascade(point: OperatingPoint, n: int) -> CascadeRun:
    """Run n images through the cascade: the one place that defines how a stage follows another.

    The caller computes the stages, so that one function serves stored scores, a loop over files and a queue
    of requests. A stage that answers nothing can change no decision and is not requested, unless it is the
    last.
    """
    decided: dict[int, Decision] = {}
    rows = list(range(n))
    last = len(point.stages) - 1
    for index, rule in enumerate(point.stages):
        if rule.threshold is None and index != last:
            continue
        outcome = decide_stage((yield StageCall(index, rows)), rule)
        left = []
        for position, row in enumerate(rows):
            if index == last or outcome.answered[position]:
                decided[row] = to_decision(
                    outcome, position, STAGE_NAMES[index], answers_nothing=point.answers_nothing
                )
            else:
                left.append(row)
        rows = left
        if not rows:
            break
    return [decided[row] for row in range(n)]


def run_to_completion(run: CascadeRun, compute: Callable[[StageCall], StageOutputs]) -> list[Decision]:
    """The decisions of a cascade run, every call of which is computed by `compute`."""
    call = next(run)
    while True:
        outputs = compute(call)
        try:
            call = run.send(outputs)
        except StopIteration as end:
            decisions: list[Decision] = end.value
            return decisions


def decide(raw_by_stage: Sequence[StageOutputs], point: OperatingPoint) -> list[Decision]:
    """Decisions on n >= 1 images with all stages computed (offline use, certification, reports)."""
    if len(raw_by_stage) != len(point.stages):
        raise ValueError(f"{len(raw_by_stage)} stages of outputs for {len(point.stages)} stage rules")

    def look_up(call: StageCall) -> StageOutputs:
        return raw_by_stage[call.stage].take(np.asarray(call.rows, dtype=np.int64))

    return run_to_completion(run_cascade(point, len(raw_by_stage[0])), look_up)
