"""One threshold that keeps its promise in every slice: for each answer, or each value of a column.

"Each of the two answers is wrong at most alpha" and "at night as well as by day" are stronger than the
promise over all answers. The null hypothesis of a step is "in some slice the risk exceeds alpha", a
union; the largest of the slices' p-values tests it at the full delta (intersection-union test, Berger
1982), and the steps form one fixed sequence. These promises condition on the answer or the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.bounds import fewest_answered, milestones
from calibration.certificate import Certificate, RiskTarget
from calibration.fixed_sequence import certify, count, last_before_failure, passes
from calibration.groups import Unit, independent_units
from calibration.inputs import read_scores, read_thresholds
from calibration.issuing import Issuer, proven_risk
from calibration.scores import BoolArray, FloatArray
from calibration.shortfall import describe_shortfall


@dataclass(frozen=True, slots=True)
class SliceReport:
    """What was seen of one slice at the certified threshold (or, where infeasible, at none)."""

    name: str
    n: int
    answered: int
    errors: int

    @property
    def coverage(self) -> float:
        """Share of the slice that is answered; NaN for an empty slice."""
        return self.answered / self.n if self.n else float("nan")


@dataclass(frozen=True, slots=True)
class JointCertificate:
    """A promise for every slice at once, and what it costs."""

    certificate: Certificate
    """`risk_upper_bound` holds in each slice, so also over all answers."""
    slices: tuple[SliceReport, ...]
    coverage_overall: float
    """Coverage that the promise over all answers alone would have reached on these units: for
    comparison only, it is not certified beside this one."""

    @property
    def price(self) -> float:
        """Coverage given up for the promise in each slice."""
        return self.coverage_overall - self.certificate.coverage


def certify_slices(
    confidence: ArrayLike,
    errors: ArrayLike,
    slices: ArrayLike,
    thresholds: ArrayLike,
    target: RiskTarget,
    groups: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    unit: Unit = "group",
    seed: int = 0,
    max_group_size: int | None = None,
    split_digest: str | None = None,
    engine: str | None = None,
) -> JointCertificate:
    """Certify one threshold at which in each slice at most `target.alpha` of the answers are wrong.

    confidence, errors, slices [n]: `slices` names the slice of each image and must be known without
    the label (a metadata column, or the answer that would be given). thresholds [T], strict to loose.
    `names` lists the slices that must hold (default: those that occur); one without enough answers
    makes the certificate infeasible. Each slice needs 299 answers without an error at 1 % and 95 %.
    Groups as in `certify`. ValueError for malformed input only.
    """
    scores, wrong = read_scores(confidence, errors)
    grid = read_thresholds(thresholds)
    members = np.asarray(slices)
    if members.shape != scores.shape:
        raise ValueError(f"slices has shape {members.shape}; the scores need {scores.shape}")
    members = members.astype(np.str_)
    wanted = tuple(str(name) for name in (np.unique(members) if names is None else names))
    if not wanted:
        raise ValueError("there is no slice to certify: names is empty, or there are no images")
    units = independent_units(len(scores), groups, unit, seed, max_group_size)
    scores, wrong, members = scores[units.rows], wrong[units.rows], members[units.rows]
    inside = {name: members == name for name in wanted}
    steps = _steps(scores, inside, grid, target)
    counted = {name: count(scores[rows], wrong[rows], steps) for name, rows in inside.items()}
    passed = np.logical_and.reduce([passes(m, k, target, None) for m, k in counted.values()])
    last = last_before_failure(passed)
    overall = certify(scores, wrong, grid, target).coverage
    issuer = Issuer(
        "exact fixed sequence, each slice (intersection-union)", target, units, split_digest, engine
    )
    if last < 0:
        needed = _shortfall(scores, wrong, inside, grid, steps, target, units.name)
        reports = tuple(SliceReport(name, int(rows.sum()), 0, 0) for name, rows in inside.items())
        return JointCertificate(issuer.infeasible(needed), reports, overall)
    reports = tuple(
        SliceReport(name, int(inside[name].sum()), int(m[last]), int(k[last]))
        for name, (m, k) in counted.items()
    )
    everything, mistakes = (int(counts[last]) for counts in count(scores, wrong, steps))
    all_passed = last == len(steps) - 1
    certificate = issuer.feasible(
        float(steps[last]),
        everything,
        mistakes,
        risk_upper_bound=max(proven_risk(r.answered, r.errors, target, all_passed) for r in reports),
    )
    return JointCertificate(certificate, reports, overall)


def certify_answers(
    confidence: ArrayLike,
    errors: ArrayLike,
    answer: ArrayLike,
    thresholds: ArrayLike,
    target: RiskTarget,
    groups: ArrayLike | None = None,
    *,
    classes: int = 2,
    unit: Unit = "group",
    seed: int = 0,
    max_group_size: int | None = None,
    split_digest: str | None = None,
    engine: str | None = None,
) -> JointCertificate:
    """`certify_slices` for each answer: of the images answered k, at most alpha are not k, for every k.

    `answer` [n] is the label that would be given, 0..classes-1.
    """
    given = np.asarray(answer)
    if given.size and not (np.equal(np.mod(given, 1), 0) & (given >= 0) & (given < classes)).all():
        raise ValueError(f"answer must hold labels 0..{classes - 1}")
    return certify_slices(
        confidence,
        errors,
        given.astype(np.int64),
        thresholds,
        target,
        groups,
        names=[str(k) for k in range(classes)],
        unit=unit,
        seed=seed,
        max_group_size=max_group_size,
        split_digest=split_digest,
        engine=engine,
    )


def _steps(
    scores: FloatArray, inside: dict[str, BoolArray], grid: FloatArray, target: RiskTarget
) -> FloatArray:
    """The grid with each slice's ranks, from where every slice has the answers that one error needs
    (or, where a slice never gets there, that none needs)."""
    ranks, starts = [grid], []
    for rows in inside.values():
        ascending = np.sort(scores[rows])
        marks = milestones(target.alpha, target.delta, len(ascending))
        reachable = marks[marks <= int((ascending >= grid[-1]).sum())]
        if len(reachable) == 0:
            return np.zeros(0)
        at_marks = ascending[len(ascending) - reachable]
        ranks.append(at_marks[at_marks <= grid[0]])
        starts.append(at_marks[:2][-1])
    steps = np.unique(np.concatenate(ranks))[::-1]
    return np.asarray(steps[steps <= min(starts)], dtype=np.float64)


def _shortfall(
    scores: FloatArray,
    wrong: BoolArray,
    inside: dict[str, BoolArray],
    grid: FloatArray,
    steps: FloatArray,
    target: RiskTarget,
    unit: str,
) -> str:
    """The shortfall of the slice that is furthest from its certificate."""
    floor = int(fewest_answered(0, target.alpha, target.delta))
    start = float(steps[0]) if len(steps) else float(grid[-1])
    answered = {name: int((scores[rows] >= start).sum()) for name, rows in inside.items()}
    if min(answered.values()) < floor:
        name = min(answered, key=lambda slice_name: answered[slice_name])
    else:
        errors = {name: int((wrong & rows & (scores >= start)).sum()) for name, rows in inside.items()}
        name = max(errors, key=lambda slice_name: errors[slice_name] / answered[slice_name])
    rows = inside[name]
    m, k = count(scores[rows], wrong[rows], steps)
    return f"slice {name!r}: " + describe_shortfall(
        scores[rows], wrong[rows], answered[name], m, k, target, unit
    )
