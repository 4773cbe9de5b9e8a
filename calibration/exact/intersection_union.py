"""One policy that keeps its promise in every part: for each answer, or each value of a column.

"Each of the two answers is wrong at most alpha" and "at night as well as by day" are stronger than the
promise over all answers. The null hypothesis of a step is "in some part the risk exceeds alpha", a
union; the largest of the parts' p-values tests it at the full delta (intersection-union test, Berger
1982), and the steps form one fixed sequence. These promises condition on the answer or the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from calibration.certificate import Certificate, RiskTarget
from calibration.exact.path_test import certify_path
from calibration.exact.paths import StagePath
from calibration.exact.strata import Parts
from calibration.groups import Unit


@dataclass(frozen=True, slots=True)
class JointCertificate:
    """A promise in every part at once, and what it costs."""

    certificate: Certificate
    """`risk_upper_bound` holds in each part, so also over all answers."""
    coverage_overall: float
    """Coverage that the promise over all answers alone would have reached on these units: for
    comparison only, it is not certified beside this one."""

    @property
    def price(self) -> float:
        """Coverage given up for the promise in each part."""
        return self.coverage_overall - self.certificate.coverage


def certify_slices(
    confidence: ArrayLike,
    errors: ArrayLike,
    slices: ArrayLike,
    thresholds: ArrayLike | None,
    target: RiskTarget,
    groups: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    column: str = "slice",
    unit: Unit = "group",
    seed: int = 0,
    max_group_size: int | None = None,
    split_digest: str | None = None,
    engine: str | None = None,
) -> JointCertificate:
    """Certify one threshold at which in each slice at most `target.alpha` of the answers are wrong.

    confidence, errors, slices [n]: `slices` names the slice of each image and must be known without
    the label (a metadata column, called `column` in messages). thresholds [T], strict to loose; None:
    the ranks. `names` lists the slices that must hold (default: those that occur); one without enough
    answers makes the certificate infeasible. Each slice needs 299 answers without an error at 1 % and
    95 %. Groups as in `certify`. ValueError for malformed input only.
    """
    path = StagePath.read(confidence, errors, thresholds)
    return _jointly(
        path,
        Parts.of_slices(slices, path.n, names, column),
        target,
        groups=groups,
        unit=unit,
        seed=seed,
        max_group_size=max_group_size,
        split_digest=split_digest,
        engine=engine,
    )


def certify_answers(
    confidence: ArrayLike,
    errors: ArrayLike,
    answer: ArrayLike,
    thresholds: ArrayLike | None,
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
    return _jointly(
        StagePath.read(confidence, errors, thresholds, answer, classes),
        Parts.of_answers([str(k) for k in range(classes)]),
        target,
        groups=groups,
        unit=unit,
        seed=seed,
        max_group_size=max_group_size,
        split_digest=split_digest,
        engine=engine,
    )


def _jointly(path: StagePath, parts: Parts, target: RiskTarget, **how: Any) -> JointCertificate:
    certificate = certify_path(path, target, parts, method="exact fixed sequence", **how)
    overall = certify_path(path, target, method="exact fixed sequence", **how)
    return JointCertificate(certificate, overall.coverage)
