"""Data, promises and decision rule that both variants of SCRC share.

An image is rejected if its confidence g is below `threshold`; otherwise its set is
{k : f_k >= set_threshold}, and only a set of one label is an answer. The paper's parameters are
lambda_1 = 1 - threshold and lambda_2 = 1 - set_threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import Certificate, CertifiedOn, Kind, RiskTarget
from calibration.decision import StageRule
from calibration.errors import ScrcError
from calibration.groups import UNGROUPED, Sampling, independent_units
from calibration.inputs import read_confidence
from calibration.prediction_sets import critical_for_answer, critical_for_set, read_probabilities
from calibration.scores import BoolArray, FloatArray, IntArray, StageOutputs, softmax

Promise = Literal["answers", "sets"]
"""`answers`: at most alpha of the answers (sets of one label) are wrong.
`sets`: at most alpha of the accepted images have a set without their label. It is weaker about answers: sets
of several labels count as right and dilute the error of the single ones."""

SET_THRESHOLD_LIMIT = 0.5
"""Default upper limit of the set threshold: above 1/2 even an image of two classes with a high probability
can have an empty set, which abstains."""


CRITICAL: Mapping[Promise, Callable[[FloatArray, IntArray], FloatArray]] = MappingProxyType(
    {"answers": critical_for_answer, "sets": critical_for_set}
)


@dataclass(frozen=True, slots=True, eq=False)
class ScrcScores:
    """Selector, classifier and labels on the n images of one split (see `selector_and_classifier`)."""

    confidence: ArrayLike
    """g, [n]"""
    probabilities: ArrayLike
    """f, [n, K]"""
    labels: ArrayLike
    """[n], in 0..K-1"""


@dataclass(frozen=True, slots=True)
class ScrcTerms:
    """Terms of an SCRC promise."""

    promise: Promise = "answers"
    acceptance: float | None = None
    """xi, the share of images to accept; None: the target's `min_coverage`"""
    class_conditional: bool = False
    """The promise holds for the images of each class"""

    def acceptance_for(self, target: RiskTarget) -> float:
        """The share of images to accept."""
        return target.min_coverage if self.acceptance is None else self.acceptance


DEFAULT_TERMS = ScrcTerms()


@dataclass(frozen=True, slots=True)
class ScrcData:
    """Scores of the calibration units."""

    confidence: FloatArray
    """g, [n]"""
    probabilities: FloatArray
    """f, [n, K]"""
    labels: IntArray
    """[n]"""
    population: str
    seed: int | None
    """Seed of the draw of one frame per group; None without groups"""
    images: int
    """Number of labelled images that the units were drawn from"""

    def __len__(self) -> int:
        return len(self.labels)

    def classes(self, class_conditional: bool) -> list[BoolArray]:
        """Subpopulations [n] for which the promise holds: all images, or those of each class."""
        if not class_conditional:
            return [np.ones(len(self), dtype=np.bool_)]
        return [self.labels == k for k in range(self.probabilities.shape[1])]

    def is_single(self, set_threshold: float) -> BoolArray:
        """[n], True if the set at this threshold is one label."""
        return np.asarray((self.probabilities >= set_threshold).sum(axis=1) == 1, dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPolicy:
    """Fields of a fitted policy of either variant, and their JSON form."""

    variant: ClassVar[str]
    promise: Promise
    alpha: float
    class_conditional: bool
    n: int
    """Number of calibration units"""
    answered: int = 0
    """Units answered: accepted, with a set of one label"""
    errors: int = 0
    """Units answered wrongly"""
    coverage_lower_bound: float = 0.0
    """Lower bound of the share answered; for the promise "sets", see the variant"""
    threshold: float | None = None
    """Accept iff confidence >= threshold; None if nothing can be promised"""
    set_threshold: float | None = None
    """The set is {k : p_k >= set_threshold}; for SCRC-T if confidence > threshold"""
    needed: str | None = None
    """If nothing can be promised: what is missing"""
    population: str
    seed: int | None
    images: int

    @property
    def feasible(self) -> bool:
        return self.threshold is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """ValueError names fields that this variant does not have."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown {cls.variant} fields: {', '.join(unknown)}")
        return cls(**values)

    def _certificate(
        self, target: RiskTarget, guarantee: Guarantee, certified_on: CertifiedOn
    ) -> Certificate:
        """The promise about answers; ScrcError for a policy that promises sets only."""
        if self.promise != "answers":
            raise ScrcError(
                f"promise is {self.promise!r}: a bound on sets bounds no error among answers, so it makes no "
                "certificate; fit with promise='answers', or report the sets with `set_report`"
            )
        coverage = self.answered / self.n if self.n else 0.0
        return Certificate(
            feasible=self.feasible,
            meets_coverage=self.feasible and coverage >= target.min_coverage,
            method=f"{self.variant}, class-conditional" if self.class_conditional else self.variant,
            kind=guarantee.kind,
            population=self.population,
            alpha=self.alpha,
            delta=guarantee.delta,
            n=self.n,
            answered=self.answered,
            errors=self.errors,
            threshold=self.threshold,
            risk_upper_bound=guarantee.risk_upper_bound,
            coverage=coverage,
            coverage_lower_bound=self.coverage_lower_bound,
            split_digest=certified_on.split_digest,
            engine=certified_on.engine,
            needed=self.needed,
            seed=self.seed,
            images=self.images if self.images != self.n else None,
        )


@dataclass(frozen=True, slots=True)
class Guarantee:
    """Kind and confidence of the promise of a variant."""

    kind: Kind
    delta: float | None = None
    risk_upper_bound: float | None = None


@dataclass(frozen=True, slots=True)
class Fitting:
    """Validated input of a fit of either variant."""

    data: ScrcData
    critical: FloatArray
    """Critical set threshold of the promise's loss, [n]"""
    acceptance: float

    @classmethod
    def read(
        cls, scores: ScrcScores, promise: Promise, acceptance: float, sampling: Sampling = UNGROUPED
    ) -> Self:
        """The calibration units, one frame per group if there are groups; ValueError for malformed input."""
        data = read_data(scores, sampling)
        if promise not in CRITICAL:
            raise ValueError(f"promise is {promise!r}; it must be one of {', '.join(CRITICAL)}")
        check_share("acceptance", acceptance)
        return cls(data, CRITICAL[promise](data.probabilities, data.labels), acceptance)


def selector_and_classifier(raw: StageOutputs, rule: StageRule) -> tuple[FloatArray, FloatArray]:
    """g [n] and f [n, K] of one stage, exactly as the decision rule computes them.

    f is the softmax of the logits divided by the rule's temperature; g is the rule's score of the calibrated
    outputs. Both are fixed before the calibration split is read.
    """
    return rule.confidence(raw), softmax(rule.calibrated(raw).logits)


def read_data(scores: ScrcScores, sampling: Sampling = UNGROUPED) -> ScrcData:
    """The calibration units, one frame per group if there are groups; ValueError for malformed input."""
    g = read_confidence(scores.confidence)
    f, true = read_probabilities(scores.probabilities, scores.labels)
    if len(g) != len(f):
        raise ValueError(f"confidence has {len(g)} rows and probabilities {len(f)}; they must agree")
    units = independent_units(len(g), sampling)
    rows = units.rows
    return ScrcData(g[rows], f[rows], true[rows], units.population, units.seed, units.images)


def rule_with(
    base: StageRule, threshold: float | None, set_threshold: float | None, at_boundary: float | None
) -> StageRule:
    """`base` with the thresholds of the policy."""
    return replace(
        base, threshold=threshold, set_threshold=set_threshold, set_threshold_at_boundary=at_boundary
    )


def check_share(name: str, value: float) -> None:
    if not 0.0 < value <= 1.0:
        raise ValueError(f"{name} is {value!r}; it must lie above 0 and be at most 1")
