"""A cascade of two stages, certified as one policy.

Stage A answers if its confidence reaches t_a; of the rest, stage B answers if its confidence reaches t_b. The
loss of an image is "answered, by either stage, and wrong". One path of pairs (t_a, t_b) is planned on the
selection split and tested with the exact test at the full delta, instead of a certificate of its own for each
stage at delta / 2. The promise is about all answers together: those of stage A alone may be wrong more often
than alpha.

Choosing a one-dimensional path through many policies beforehand is Pareto testing (arXiv 2210.07913).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.decision import answers
from calibration.exact.path_test import PathTest, certify_path
from calibration.exact.paths import Entries, StepOutcome
from calibration.exact.stage_scores import StageScores
from calibration.exact.steps import StepCounts
from calibration.exact.strata import Parts
from calibration.groups import UNGROUPED, Sampling
from calibration.inputs import read_path
from calibration.scores import BoolArray, FloatArray, IntArray

CASCADE_METHOD = "exact fixed sequence, cascade as one policy"


@dataclass(frozen=True, slots=True)
class CascadeScores:
    """Scores of both stages on the same n images."""

    a: StageScores
    b: StageScores

    def __post_init__(self) -> None:
        if len(self.b) != len(self.a):
            raise ValueError(f"confidence_b has length {len(self.b)}; confidence_a has {len(self.a)}")

    @classmethod
    def read(
        cls, confidence_a: ArrayLike, errors_a: ArrayLike, confidence_b: ArrayLike, errors_b: ArrayLike
    ) -> Self:
        """All [n]; ValueError for a malformed stage, or if the stages differ in length."""
        stage_a = StageScores.read(confidence_a, errors_a, stage="_a")
        return cls(stage_a, StageScores.read(confidence_b, errors_b, stage="_b"))

    def __len__(self) -> int:
        return len(self.a)

    def take(self, rows: IntArray | BoolArray) -> Self:
        """The same stages on some of the images."""
        return type(self)(self.a.take(rows), self.b.take(rows))

    def outcome(self, pair: FloatArray) -> tuple[BoolArray, BoolArray, BoolArray]:
        """(answered by A, answered by B, answered wrongly) at one pair of thresholds, each [n]."""
        by_a = answers(self.a.confidence, float(pair[0]))
        by_b = answers(self.b.confidence, float(pair[1])) & ~by_a
        return by_a, by_b, (by_a & self.a.wrong) | (by_b & self.b.wrong)


@dataclass(frozen=True, slots=True)
class CascadePath:
    """Pairs of thresholds [T, 2] on the scores of both stages; a `calibration.exact.paths.PolicyPath`."""

    scores: CascadeScores
    pairs: FloatArray

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def steps(self) -> int:
        return len(self.pairs)

    @property
    def nested(self) -> bool:
        """True if both thresholds never rise along the path."""
        finite = np.where(np.isinf(self.pairs), np.finfo(np.float64).max, self.pairs)
        return bool((np.diff(finite, axis=0) <= 0).all())

    @property
    def keeps_answers(self) -> bool:
        """True if B alone loosens, or B answers nothing: a lower threshold of A takes answers from B."""
        of_a, of_b = self.pairs[:, 0], self.pairs[:, 1]
        return self.nested and bool((of_a == of_a[0]).all() or np.isinf(of_b).all())

    def take(self, rows: IntArray) -> Self:
        return replace(self, scores=self.scores.take(rows))

    def refined(self, parts: Parts, target: RiskTarget) -> Self:
        """The path itself: between two pairs there is no rank."""
        return self

    def threshold(self, step: int) -> tuple[float, ...]:
        return float(self.pairs[step, 0]), float(self.pairs[step, 1])

    def outcome(self, step: int) -> StepOutcome:
        by_a, by_b, wrong = self.scores.outcome(self.pairs[step])
        return StepOutcome(by_a | by_b, wrong, np.where(by_a, self.scores.a.answer, self.scores.b.answer))

    def count(self, parts: Parts) -> StepCounts:
        counts = StepCounts.empty(self.steps, len(parts))
        for step in range(self.steps):
            outcome = self.outcome(step)
            part = parts.of(outcome.answer)
            counts.answered[step] = parts.tally(part, outcome.answered)
            counts.errors[step] = parts.tally(part, outcome.wrong)
        return counts

    def entries(self, parts: Parts) -> Entries:
        """The first step that answers each image; images that no step answers come last."""
        last = self.outcome(self.steps - 1)
        entry = np.full(self.n, self.steps)
        wrong, part = np.zeros(self.n, dtype=np.bool_), parts.of(last.answer).copy()
        for step in reversed(range(self.steps)):
            outcome = self.outcome(step)
            entry[outcome.answered] = step
            wrong[outcome.answered] = outcome.wrong[outcome.answered]
            part[outcome.answered] = parts.of(outcome.answer)[outcome.answered]
        return Entries(-entry.astype(np.float64), wrong, part)


@dataclass(frozen=True, slots=True)
class CascadeUsage:
    """Answers and cost of a pair of thresholds on given images, as shares of all images."""

    answered_by_a: float
    answered_by_b: float
    risk_a: float
    """Error rate of the answers of A, which may exceed alpha; NaN if it gives none"""
    risk_b: float
    risk: float
    compute: float
    """Cost per image: cost_a (0 if A answers nothing and does not run) + cost_b for images that A leaves"""

    @property
    def coverage(self) -> float:
        return self.answered_by_a + self.answered_by_b


def certify_cascade(
    scores: CascadeScores,
    path: ArrayLike,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Certify the last pair of `path` [T, 2] that keeps the cascade's risk at most `target.alpha`.

    Scores of both stages on every image of the calibration split (of B also if A would answer). Every
    pair is tested, in the order of the path (`plan_cascade` plans where it starts);
    `threshold` is (t_a, t_b), +inf for a stage that answers nothing.
    Groups, units and the meaning of the fields are those of `certify`; a promise for each answer or
    slice is `certify_path` on the same `CascadePath`. ValueError for malformed input only.
    """
    policies = CascadePath(scores, read_path(path))
    test = PathTest(CASCADE_METHOD)
    return certify_path(policies, target, sampling=sampling, test=test, certified_on=certified_on)


def cascade_usage(
    scores: CascadeScores, threshold: tuple[float, float], cost_a: float, cost_b: float
) -> CascadeUsage:
    """Coverage, risk and compute of each stage on any labelled images [n >= 1]."""
    if len(scores) == 0:
        raise ValueError("no images; usage is a share of them")
    by_a, by_b, wrong = scores.outcome(np.asarray(threshold, dtype=np.float64))

    def share_wrong(answered: BoolArray) -> float:
        return float(wrong[answered].mean()) if answered.any() else float("nan")

    runs_a = 0.0 if np.isposinf(threshold[0]) else cost_a
    return CascadeUsage(
        answered_by_a=float(by_a.mean()),
        answered_by_b=float(by_b.mean()),
        risk_a=share_wrong(by_a),
        risk_b=share_wrong(by_b),
        risk=share_wrong(by_a | by_b),
        compute=runs_a + cost_b * float(1.0 - by_a.mean()),
    )
