"""Certificate of a cascade stage by stage, each at delta / 2, for comparison.

Its promise is stronger (the answers of each stage are wrong at most alpha) and costs coverage and compute; a
bundle uses `calibration.exact.cascade`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from numpy.typing import ArrayLike

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.decision import answers
from calibration.encoding import decode_threshold
from calibration.exact.cascade import CascadeScores
from calibration.exact.fixed_sequence import certify
from calibration.exact.issuer import Issuer, Proven
from calibration.groups import UNGROUPED, Sampling, independent_units


def certify_each_stage(
    scores: CascadeScores,
    thresholds_a: ArrayLike | None,
    thresholds_b: ArrayLike | None,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Stage A on all units at delta / 2, then stage B on those that A leaves, at delta / 2.

    A stage that cannot be certified answers nothing (+inf); the certificate is infeasible if neither can
    be certified. The union bound makes both promises hold together with confidence 1 - delta.
    """
    units = independent_units(len(scores), sampling)
    scores = scores.take(units.rows)
    n = len(scores)
    half = replace(target, delta=target.delta / 2.0)
    stage_a = certify(scores.a.confidence, scores.a.wrong, thresholds_a, half)
    left = ~answers(scores.a.confidence, _scalar(stage_a))
    stage_b = certify(scores.b.confidence[left], scores.b.wrong[left], thresholds_b, half)
    issuer = Issuer("exact fixed sequence, each stage at delta / 2", target, units, certified_on)
    if not (stage_a.feasible or stage_b.feasible):
        return issuer.infeasible(f"stage A: {stage_a.needed}; stage B: {stage_b.needed}")
    m = stage_a.answered + stage_b.answered
    proven = Proven(
        (decode_threshold(_scalar(stage_a)), decode_threshold(_scalar(stage_b))),
        m,
        stage_a.errors + stage_b.errors,
        max(stage.risk_upper_bound or 0.0 for stage in (stage_a, stage_b)),
    )
    return issuer.feasible(proven, coverage_lower_bound=_coverage_bound(m, n, target.delta))


def _scalar(certificate: Certificate) -> float | None:
    return certificate.threshold if isinstance(certificate.threshold, float) else None


def _coverage_bound(answered: int, n: int, delta: float) -> float:
    """The share not answered is a bivariate distribution function at (t_a, t_b), both chosen on the
    data: the DKW inequality of dimension two, 2 (n + 1) exp(-2 n margin^2) (Naaman 2021)."""
    margin = math.sqrt(math.log(2.0 * (n + 1.0) / delta) / (2.0 * n))
    return max(0.0, answered / n - margin)
