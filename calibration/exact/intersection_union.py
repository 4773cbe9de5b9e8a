"""One policy that keeps its promise in every part: for each answer, or each value of a column.

"Each of the two answers is wrong at most alpha" and "at night as well as by day" are stronger than the
promise over all answers. The null hypothesis of a step is "in some part the risk exceeds alpha", a
union; the largest of the parts' p-values tests it at the full delta (intersection-union test, Berger
1982), and the steps form one fixed sequence. These promises condition on the answer or the slice.
"""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.exact.path_test import PathTest, certify_path
from calibration.exact.paths import StagePath
from calibration.exact.strata import AnswerLabels, Parts, Slices
from calibration.groups import UNGROUPED, Sampling


@dataclass(frozen=True, slots=True)
class JointCertificate:
    """A promise in every part at once, and its cost in coverage."""

    certificate: Certificate
    """`risk_upper_bound` holds in each part, and so over all answers"""
    coverage_overall: float
    """Coverage of the promise over all answers alone on these units: for comparison, not certified beside
    this one"""

    @property
    def price(self) -> float:
        """Loss of coverage for the promise in each part."""
        return self.coverage_overall - self.certificate.coverage


def certify_slices(
    confidence: ArrayLike,
    errors: ArrayLike,
    slices: Slices,
    thresholds: ArrayLike | None,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    certified_on: CertifiedOn = UNRECORDED,
) -> JointCertificate:
    """Certify one threshold at which in each slice at most `target.alpha` of the answers are wrong.

    confidence, errors [n]; thresholds [T], strict to loose; None: the ranks. A slice without enough
    answers makes the certificate infeasible. Each slice needs 299 answers without an error at 1 % and
    95 %. Groups as in `certify`. ValueError for malformed input only.
    """
    path = StagePath.read(confidence, errors, thresholds)
    return _jointly(path, Parts.of_slices(slices, path.n), target, sampling, certified_on)


def certify_answers(
    confidence: ArrayLike,
    errors: ArrayLike,
    answer: AnswerLabels,
    thresholds: ArrayLike | None,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    certified_on: CertifiedOn = UNRECORDED,
) -> JointCertificate:
    """`certify_slices` for each answer: of the images answered k, at most alpha are not k, for every k."""
    path = StagePath.read(confidence, errors, thresholds, answer.labels, answer.classes)
    parts = Parts.of_answers([str(k) for k in range(answer.classes)])
    return _jointly(path, parts, target, sampling, certified_on)


def _jointly(
    path: StagePath, parts: Parts, target: RiskTarget, sampling: Sampling, certified_on: CertifiedOn
) -> JointCertificate:
    test = PathTest("exact fixed sequence")
    certificate = certify_path(path, target, parts, sampling, test=test, certified_on=certified_on)
    overall = certify_path(path, target, sampling=sampling, test=test, certified_on=certified_on)
    return JointCertificate(certificate, overall.coverage)
