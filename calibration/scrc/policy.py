"""What both variants of SCRC share: the data, the promises, and the way into the decision rule.

An image is rejected where its confidence g is below `threshold`; otherwise its set is
{k : f_k >= set_threshold}, and only a set of one label is an answer. The paper's parameters are
lambda_1 = 1 - threshold and lambda_2 = 1 - set_threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibration.certificate import Population
from calibration.decision import StageRule
from calibration.groups import Unit, independent_units
from calibration.inputs import read_confidence
from calibration.prediction_sets import critical_for_answer, critical_for_set, read_probabilities
from calibration.scores import BoolArray, FloatArray, IntArray, StageOutputs, softmax

Promise = Literal["answers", "sets"]
"""`answers`: at most alpha of what is answered (sets of one label) is answered wrongly.
`sets`: at most alpha of the accepted images have a set without their label. It says less about answers:
sets of several labels count as right and dilute the error of the single ones."""

SET_THRESHOLD_LIMIT = 0.5
"""No larger set threshold is used unless asked for: above 1/2 even a sure image of two classes can have an
empty set, which abstains."""


class ScrcError(ValueError):
    """SCRC was asked for something that it cannot promise."""


CRITICAL: Mapping[Promise, Callable[[FloatArray, IntArray], FloatArray]] = MappingProxyType(
    {"answers": critical_for_answer, "sets": critical_for_set}
)


@dataclass(frozen=True, slots=True)
class ScrcData:
    """The calibration units."""

    confidence: FloatArray
    """g, [n]"""
    probabilities: FloatArray
    """f, [n, K]"""
    labels: IntArray
    """[n]"""
    population: Population
    seed: int | None
    """Of the draw of one frame a group; None without groups."""
    images: int
    """Labelled images that the units were drawn from."""

    def __len__(self) -> int:
        return len(self.labels)

    def classes(self, class_conditional: bool) -> list[BoolArray]:
        """The subpopulations [n] for which the promise is to hold: all images, or those of each class."""
        if not class_conditional:
            return [np.ones(len(self), dtype=np.bool_)]
        return [self.labels == k for k in range(self.probabilities.shape[1])]

    def is_single(self, set_threshold: float) -> BoolArray:
        """[n], whether the set at this threshold is one label."""
        return np.asarray((self.probabilities >= set_threshold).sum(axis=1) == 1, dtype=np.bool_)


def selector_and_classifier(raw: StageOutputs, rule: StageRule) -> tuple[FloatArray, FloatArray]:
    """g [n] and f [n, K] of one stage, exactly as the decision rule computes them.

    f is the softmax of the logits divided by the rule's temperature; g is the rule's score of the outputs
    so calibrated. Both fixed before the calibration split is touched.
    """
    return rule.confidence(raw), softmax(rule.calibrated(raw).logits)


def read_data(
    confidence: ArrayLike,
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None,
    unit: Unit,
    seed: int,
    max_group_size: int | None,
) -> ScrcData:
    """The calibration units, one frame a group where there are groups; ValueError for malformed input."""
    g = read_confidence(confidence)
    f, true = read_probabilities(probabilities, labels)
    if len(g) != len(f):
        raise ValueError(f"confidence has {len(g)} rows and probabilities {len(f)}; they must agree")
    units = independent_units(len(g), groups, unit, seed, max_group_size)
    rows = units.rows
    return ScrcData(g[rows], f[rows], true[rows], units.population, units.seed, units.images)


def critical_of(promise: Promise, data: ScrcData) -> FloatArray:
    """Critical set threshold [n] of the promise's loss; ValueError lists the known promises."""
    if promise not in CRITICAL:
        raise ValueError(f"promise is {promise!r}; it must be one of {', '.join(CRITICAL)}")
    return CRITICAL[promise](data.probabilities, data.labels)


def rule_with(
    base: StageRule, threshold: float | None, set_threshold: float | None, at_boundary: float | None
) -> StageRule:
    """`base` with its score and calibration kept and the policy's thresholds put in."""
    return replace(
        base, threshold=threshold, set_threshold=set_threshold, set_threshold_at_boundary=at_boundary
    )


def require_answers(promise: Promise) -> None:
    """A certificate speaks of answers; a promise about sets must never be shown as one."""
    if promise != "answers":
        raise ScrcError(
            f"promise is {promise!r}: a bound on sets bounds no error among answers, so it makes no "
            "certificate; fit with promise='answers', or report the sets with `set_report`"
        )


def check_share(name: str, value: float) -> None:
    if not 0.0 < value <= 1.0:
        raise ValueError(f"{name} is {value!r}; it must lie above 0 and be at most 1")
