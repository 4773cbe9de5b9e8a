"""Exact test of a planned path: one threshold or the pairs of a cascade, one promise or several.

Fixed-sequence testing (Learn-then-Test, arXiv 2110.01052, section 4.2): each step is tested at the full
delta, the first failure ends the sequence, the last step that passed is certified. For a promise in several
parts a step passes if each part passes (`steps.passes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.bounds import clopper_pearson_lower, fewest_answered
from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, PromisedPart, RiskTarget
from calibration.exact.issuer import Issuer, Proven, coverage_bound, proven_risk
from calibration.exact.paths import PolicyPath, StepOutcome
from calibration.exact.shortfall import describe_shortfall
from calibration.exact.steps import StepCounts, last_before_failure, passes, steps_to_test
from calibration.exact.strata import Parts
from calibration.groups import UNGROUPED, Sampling, independent_units
from calibration.scores import IntArray

Start = Literal["rank", "path"]
"""`rank`: refine the path by calibration ranks if it allows that, and start at the number of answers with
which one error still certifies. `path`: test every step of the path as planned, so that no score of the
calibration split shapes it. Paths that do not keep their answers are always tested so: a choice of their
steps by calibration counts breaks the promise."""


@dataclass(frozen=True, slots=True)
class PathTest:
    """Steps of a path that are tested, and the test."""

    method: str
    """Name of the test in the certificate"""
    start: Start = "rank"
    uniform: float | None = None
    """In (0, 1), drawn before a label is read: randomises the test; None: the exact test"""


def certify_path(
    path: PolicyPath,
    target: RiskTarget,
    parts: Parts | None = None,
    sampling: Sampling = UNGROUPED,
    *,
    test: PathTest,
    planned: RiskTarget | None = None,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Certify the last step of `path` up to which in each part at most `target.alpha` is wrong.

    `parts` [P]: the answers that the promise is about (default: all together); each part needs 299 answers
    without an error at 1 % and 95 %. `planned` chooses the steps of a rank start (default: `target`); it must
    be given if the delta of `target` depends on calibration labels. The certificate is infeasible, and says
    what is missing, if the first step fails or a part has too few answers.
    """
    units = independent_units(path.n, sampling)
    path, parts = path.take(units.rows), (parts or Parts.whole(path.n)).take(units.rows)
    walked = walk_path(path, parts, target, test, planned or target)
    issuer = Issuer(test.method + parts.title, target, units, certified_on, parts.each)
    if walked.last < 0:
        return issuer.infeasible(walked.shortfall(units.name), empty_part_counts(walked.path, parts))
    # Counted by the rule that decides online, because the certificate is about that rule.
    outcome = walked.path.outcome(walked.chosen)
    found = part_counts(parts, outcome)
    m, k = int(outcome.answered.sum()), int(outcome.wrong.sum())
    return issuer.feasible(
        Proven(walked.path.threshold(walked.chosen), m, k, walked.proven_risk(found)),
        coverage_lower_bound=least_coverage(walked.path, m, target.delta),
        parts=found,
    )


@dataclass(frozen=True, slots=True)
class WalkedPath:
    """A path after its fixed sequence of tests."""

    path: PolicyPath
    """With the steps that were added at calibration ranks"""
    parts: Parts
    counts: StepCounts
    tested: IntArray
    """Steps that are tested, in order"""
    last: int
    """Position in `tested` of the last step before the first failure; -1 if there is none"""
    target: RiskTarget
    test: PathTest
    planned: RiskTarget

    @property
    def chosen(self) -> int:
        """The step that is certified."""
        return int(self.tested[self.last])

    def proven_risk(self, found: Sequence[PromisedPart]) -> float:
        """The risk that is proven in each part, given its counts at the certified step."""
        all_passed = self.last == len(self.tested) - 1
        return max(
            proven_risk(part.answered, part.errors, self.target, all_passed, self.test.uniform)
            for part in found
        )

    def shortfall(self, unit: str) -> str:
        """What is missing in the part that is furthest from a certificate, if the first test failed."""
        # Without a step to test, the plan sets the number of answers that is missing.
        target = self.target if len(self.tested) else self.planned
        return _shortfall(self.path, self.parts, self.counts, self.tested, target, unit)


def walk_path(
    path: PolicyPath, parts: Parts, target: RiskTarget, test: PathTest, planned: RiskTarget
) -> WalkedPath:
    """The fixed sequence of tests on units that are independent within each part."""
    if test.start == "rank":
        path = path.refined(parts, planned)
    counts = path.count(parts)
    by_rank = test.start == "rank" and path.keeps_answers
    tested = np.flatnonzero(steps_to_test(counts.answered, planned)) if by_rank else np.arange(path.steps)
    last = last_before_failure(passes(counts.take(tested), target, test.uniform))
    return WalkedPath(path, parts, counts, tested, last, target, test, planned)


def least_coverage(path: PolicyPath, answered: int, delta: float) -> float:
    """Lower bound of the coverage at a step that was chosen on the same images.

    On nested steps DKW holds for all of them at once; on other paths each step has its share of delta.
    """
    if path.nested:
        return coverage_bound(answered, path.n, delta)
    return float(clopper_pearson_lower(answered, path.n, delta / path.steps))


def part_counts(parts: Parts, outcome: StepOutcome) -> tuple[PromisedPart, ...]:
    """Counts of each part at one step."""
    part = parts.of(outcome.answer)
    columns = parts.tally(part), parts.tally(part, outcome.answered), parts.tally(part, outcome.wrong)
    return tuple(
        PromisedPart(name, int(n), int(answered), int(errors))
        for name, n, answered, errors in zip(parts.names, *columns, strict=True)
    )


def empty_part_counts(path: PolicyPath, parts: Parts) -> tuple[PromisedPart, ...]:
    """Counts of each part of a policy that answers nothing."""
    part = path.entries(parts).part
    return tuple(
        PromisedPart(name, int(n), 0, 0) for name, n in zip(parts.names, parts.tally(part), strict=True)
    )


def _shortfall(
    path: PolicyPath, parts: Parts, counts: StepCounts, tested: IntArray, target: RiskTarget, unit: str
) -> str:
    """What is missing in the part that is furthest from a certificate."""
    entries = path.entries(parts)
    if path.steps == 0:
        return describe_shortfall(
            entries.earliness, entries.wrong, path.n, *_column(counts, tested, 0), target, unit
        )
    first = int(tested[0]) if len(tested) else path.steps - 1
    answered, errors = counts.answered[first], counts.errors[first]
    floor = int(fewest_answered(0, target.alpha, target.delta))
    worst = int(answered.argmin() if answered.min() < floor else (errors / answered).argmax())
    rows = entries.part == worst
    about = "" if parts.each is None else f"{parts.each} {parts.names[worst]!r}: "
    return about + describe_shortfall(
        entries.earliness[rows],
        entries.wrong[rows],
        int(answered[worst]),
        *_column(counts, tested, worst),
        target,
        unit,
    )


def _column(counts: StepCounts, steps: IntArray, part: int) -> tuple[IntArray, IntArray]:
    return counts.answered[steps, part], counts.errors[steps, part]
