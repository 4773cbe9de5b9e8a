"""Golden cases: images with known outcomes, computed each time a bundle is opened.

Digests show that the files are unchanged; golden cases show that this machine, with its decoder and its
inference runtime, computes the same outcomes from them. Probabilities may differ by a tolerance that the
bundle states for each engine; decisions are compared only for cases with a margin from every threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bundle.engines.contract import ModelUnfit
from bundle.manifest import (
    MANIFEST_FILE,
    BundleError,
    BundleManifest,
    GoldenCase,
    GoldenDecision,
    GoldenExpectation,
)
from bundle.runner import CascadeRunner
from calibration.decision import Decision, OperatingPoint, decide
from calibration.scores import StageOutputs, gate_probability, softmax

DECISION_MARGIN = 0.25
"""A decision is expected on other machines only if it does not change when every top logit and every gate
logit moves by this margin."""
CASES_PER_KIND = 2
"""Number of golden cases for each true label and outcome (answered by A, by B, abstained)."""

TOLERANCES: Mapping[str, float] = {"fp32": 0.005, "bf16": 0.05, "fp16": 0.02, "int8": 0.1}
"""Precision -> largest accepted difference of a probability between machines."""
OTHER_ENGINE_TOLERANCE = 0.1
"""The same for an engine without expectations in the bundle, which is compared with those of another."""


class GoldenMismatch(BundleError):
    """A golden case does not have the outcome that the bundle states."""


def expectations(images: Sequence[bytes], runner: CascadeRunner) -> list[GoldenExpectation]:
    """The scores that `runner` computes for each encoded image, and its decision if that is stable.

    Raises ImageError, or ModelUnfit if scores are not finite.
    """
    point = runner.point
    if point is None:
        raise ValueError("this runner has no operating point: it cannot decide")
    outputs = runner.score_all(images)
    for stage in outputs:
        if not (
            np.isfinite(stage.logits).all() and np.isfinite(0.0 if stage.gate is None else stage.gate).all()
        ):
            raise ModelUnfit("a model gives scores that are not finite numbers")
    decisions = decide(outputs, point)
    stable = _stable(outputs, point, decisions)
    probabilities = [softmax(stage.logits) for stage in outputs]
    gates = [None if stage.gate is None else gate_probability(stage) for stage in outputs]
    return [
        GoldenExpectation(
            probabilities=tuple(tuple(stage[row].tolist()) for stage in probabilities),
            gates=tuple(None if gate is None else float(gate[row]) for gate in gates),
            decision=_golden_decision(decisions[row]) if stable[row] else None,
        )
        for row in range(len(images))
    ]


def choose(labels: Sequence[int | None], decisions: Sequence[Decision]) -> list[int]:
    """The candidates that become golden cases: the first few of each true label and outcome, in order.

    labels, decisions: of the n candidates.
    """
    taken: dict[tuple[object, ...], int] = {}
    chosen = []
    for row, (label, decision) in enumerate(zip(labels, decisions, strict=True)):
        kind = (label, decision.decision, decision.stage)
        if taken.get(kind, 0) < CASES_PER_KIND:
            taken[kind] = taken.get(kind, 0) + 1
            chosen.append(row)
    return chosen


def check_golden(
    manifest: BundleManifest, images: Mapping[str, bytes], runner: CascadeRunner, key: str
) -> None:
    """Raise `GoldenMismatch` unless `runner`, on the engine `key`, gives the expected outcomes.

    images: file of each golden case -> its bytes.
    """
    if not manifest.golden:
        return
    found = expectations([images[case.file] for case in manifest.golden], runner)
    for case, outcome in zip(manifest.golden, found, strict=True):
        expected = case.expected.get(key)
        if expected is not None:
            tolerance = manifest.golden_tolerances.get(key, 0.0)
            _compare_scores(case, expected, outcome, tolerance)
            _compare_decisions(case, expected, outcome)
        elif case.expected:
            _compare_scores(case, next(iter(case.expected.values())), outcome, OTHER_ENGINE_TOLERANCE)


def _compare_scores(
    case: GoldenCase, expected: GoldenExpectation, found: GoldenExpectation, tolerance: float
) -> None:
    ours, theirs = _flat(found), _flat(expected)
    if ours.shape != theirs.shape:
        raise GoldenMismatch(
            MANIFEST_FILE, f"{case.file} has {theirs.size} expected values, the models give {ours.size}"
        )
    difference = float(np.abs(ours - theirs).max())
    if not difference <= tolerance:
        raise GoldenMismatch(
            case.file,
            f"a probability differs by {difference:.4g} from the expected one; at most {tolerance:g} is "
            "allowed. This machine computes other scores than those that were certified",
        )


def _compare_decisions(case: GoldenCase, expected: GoldenExpectation, found: GoldenExpectation) -> None:
    both_clear = expected.decision is not None and found.decision is not None
    if both_clear and expected.decision != found.decision:
        raise GoldenMismatch(case.file, f"decided {found.decision!r}; expected {expected.decision!r}")


def _flat(expectation: GoldenExpectation) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """All probabilities of a case; a stage without a gate has no gate probability."""
    gates = [gate for gate in expectation.gates if gate is not None]
    return np.array([p for stage in expectation.probabilities for p in stage] + gates, dtype=np.float64)


def _golden_decision(decision: Decision) -> GoldenDecision:
    return GoldenDecision(decision=decision.decision, label=decision.label, stage=decision.stage)


def _stable(
    outputs: Sequence[StageOutputs], point: OperatingPoint, decisions: Sequence[Decision]
) -> list[bool]:
    """[n], True if the decision stays the same when every top logit and gate logit moves by the margin."""
    moved = [
        decide([_moved(stage, step) for stage in outputs], point)
        for step in (-DECISION_MARGIN, DECISION_MARGIN)
    ]
    return [
        all(_golden_decision(other) == _golden_decision(decision) for other in others)
        for decision, *others in zip(decisions, *moved, strict=True)
    ]


def _moved(raw: StageOutputs, step: float) -> StageOutputs:
    logits = raw.logits.copy()
    logits[np.arange(len(logits)), logits.argmax(axis=1)] += step
    return StageOutputs(logits, None if raw.gate is None else raw.gate + step)
