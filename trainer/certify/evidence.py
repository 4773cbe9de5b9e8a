"""The evidence that a certificate reads, and the policy that results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration.certificate import Certificate, CertifiedOn, RiskTarget
from calibration.decision import OperatingPoint, StageRule
from calibration.exact.cascade import CascadeScores
from calibration.exact.policies import stage_scores
from calibration.exact.strata import Parts, Slices
from calibration.groups import Sampling, each_group_alike
from calibration.planning.cascade import SplitUnits, plan_cascade
from calibration.planning.thresholds import plan_thresholds
from calibration.scores import FloatArray
from trainer.certify.shares import class_shares, planning_rows
from trainer.errors import RunError
from trainer.run.promise import PromiseConfig
from trainer.scoring.split_scores import SplitScores


@dataclass(frozen=True, slots=True)
class Policy:
    """An operating point with its certificate."""

    point: OperatingPoint
    certificate: Certificate
    path: FloatArray | None
    """[T, stages], the thresholds in the order of their tests; None if none were planned"""
    scrc: Mapping[str, Any] | None = None
    """Fitted parameters, for SCRC"""
    remarks: tuple[str, ...] = ()
    """Lines beside the certificate's sentence: its parts, its cost in coverage, further risks"""
    further: tuple[Certificate, ...] = ()
    """Certificates of the other risks, which hold together with the first on the same images"""

    def doubted(self, doubt: str | None) -> Policy:
        """The policy whose certificates state `doubt`."""
        further = tuple(replace(certificate, doubt=doubt) for certificate in self.further)
        return replace(self, certificate=replace(self.certificate, doubt=doubt), further=further)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a certificate reads."""

    select: SplitScores
    """Scores of val_select, which plan the path"""
    calib: SplitScores
    """Scores of val_calib, which prove the promise"""
    rules: tuple[StageRule, ...]
    """One per stage, fitted on val_select, without thresholds"""
    costs: tuple[float, ...]
    """Cost of an image in each stage, in a unit that the stages share"""
    promise: PromiseConfig
    classes: tuple[str, ...] = ()
    """Names of the classes, for a promise about each answer; empty: their numbers"""
    doubt: str | None = None
    """Why the images may not be independent (`Certificate.doubt`); no part of the computation"""
    unlabelled: SplitScores | None = None
    """Scores of the promise's unlabelled images, if its prevalence is to be found from them"""
    charged_path: FloatArray | None = None
    """The path that this promise was charged for before, [T, stages]; None: it is planned now"""

    @property
    def target(self) -> RiskTarget:
        return self.promise.target

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes, or their numbers."""
        return self.classes or [str(k) for k in range(self.calib.stages[0].logits.shape[1])]


def plan_path(evidence: Evidence, target: RiskTarget | None = None) -> FloatArray:
    """The thresholds in the order of their tests, [T, stages], from labels of val_select alone.

    `target`: replaces that of the promise. A path that was charged before is taken as it is: a newer planner
    may plan another one, which would be another certificate.
    """
    if target is None and evidence.charged_path is not None:
        return evidence.charged_path
    target = target or evidence.target
    select, n_calibration = _for_planned_shares(
        evidence, _as_promised(evidence.select, evidence.promise), evidence.calib.n_groups
    )
    scores = stage_scores(select.stages, select.labels, evidence.rules)
    if len(scores) == 1:
        (stage,) = scores
        return plan_thresholds(stage.confidence, stage.wrong, n_calibration, target)[:, None]
    cost_a, cost_b = evidence.costs
    return plan_cascade(
        CascadeScores(*scores),
        cost_a,
        cost_b,
        SplitUnits(select.n_groups, n_calibration),
        target,
        evidence.promise.slack,
        parts_of(evidence, select),
    )


def _for_planned_shares(
    evidence: Evidence, select: SplitScores, n_calibration: int
) -> tuple[SplitScores, int]:
    """The selection images and the number of calibration units for which the promised shares are planned."""
    shares = evidence.promise.planned_shares
    if shares is None or not len(select):
        return select, n_calibration
    wrong = np.asarray(select.stages[-1].logits.argmax(axis=-1) != select.labels, dtype=np.bool_)
    prevalence = class_shares(shares, evidence.class_names)
    rows, units = planning_rows(select.labels, wrong, prevalence, n_calibration, evidence.promise.seed)
    return select.take(rows), units


def _as_promised(select: SplitScores, promise: PromiseConfig) -> SplitScores:
    """The selection split, with each group counted alike if the promise counts groups."""
    if select.groups is None or promise.unit == "image" or not len(select):
        return select
    return select.take(each_group_alike(select.groups, len(select), promise.seed))


def sampling_of(evidence: Evidence) -> Sampling:
    """How units are drawn from val_calib, from the promise alone."""
    return evidence.promise.sampling(evidence.calib.groups)


def certified_on(evidence: Evidence) -> CertifiedOn:
    """The calibration split and the engine that scored it."""
    return CertifiedOn(evidence.calib.digest, evidence.calib.engine)


def for_all_stages(certificate: Certificate, stages: int) -> Certificate:
    """A certificate of the last of several stages, with thresholds at which the others answer nothing."""
    if not isinstance(certificate.threshold, float) or stages == 1:
        return certificate
    return replace(certificate, threshold=(*[math.inf] * (stages - 1), certificate.threshold))


def parts_of(evidence: Evidence, split: SplitScores | None = None) -> Parts:
    """The parts for which the promise holds separately, on `split` (default: val_calib).

    The parts are those of val_calib; `RunError` for a column that the scores lack.
    """
    promise, calib = evidence.promise, evidence.calib
    split = split or calib
    if promise.each_answer:
        return Parts.of_answers(evidence.class_names)
    if not promise.slices:
        return Parts.whole(len(split))
    for scores in (calib, split):
        if promise.slices not in scores.slices:
            raise RunError(
                f"slices is {promise.slices!r}; the scores of {scores.split} have "
                f"{', '.join(scores.slices) or 'no metadata column'} (columns of text with few values)"
            )
    names = tuple(np.unique(calib.slices[promise.slices]).tolist())
    return Parts.of_slices(Slices(split.slices[promise.slices], names, promise.slices), len(split))
