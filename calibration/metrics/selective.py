"""Ranking of right answers above wrong ones by a confidence.

Every function depends on the ranking alone and treats equal confidences alike: the order of the rows does not
matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.scores import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class RiskCoverageCurve:
    """One point per distinct confidence, strict to loose; the rule `confidence >= threshold` answers."""

    threshold: FloatArray
    """[t], decreasing"""
    coverage: FloatArray
    """[t], share of the images that is answered, increasing to 1"""
    selective_risk: FloatArray
    """[t], share of the answered images that is wrong"""
    generalised_risk: FloatArray
    """[t], share of all images that is answered and wrong; AUGRC is the area under it"""


def augrc(errors: ArrayLike, confidence: ArrayLike) -> float:
    """Area under the generalised risk-coverage curve, in [0, 0.5]; lower is better.

    The mean, over all shares of images answered, of P(answered and wrong) (Traub et al., arXiv
    2407.01032, eq. 4). It equals (1 - AUROC_f) acc (1 - acc) + (1 - acc)^2 / 2, where AUROC_f is the
    chance that a right answer is more confident than a wrong one, ties counting half. A perfect ranking
    reaches (1 - acc)^2 / 2, a random one (1 - acc) / 2.

    Parameters: `errors` [n], True or 1 for a wrong answer; `confidence` [n], NaN not allowed.
    Sorts the confidences of the right answers only: O(n log n) time, O(n) memory.
    """
    wrong, scores = _checked(errors, confidence)
    n = len(wrong)
    n_wrong = int(np.count_nonzero(wrong))
    misordered = _misordered_pairs(wrong, scores)
    return (misordered + n_wrong * n_wrong / 2) / (n * n)


def failure_auroc(errors: ArrayLike, confidence: ArrayLike) -> float:
    """Chance that a right answer is more confident than a wrong one, ties counting half; in [0, 1].

    NaN if all answers are right or all are wrong: there is no pair to compare.
    """
    wrong, scores = _checked(errors, confidence)
    n_wrong = int(np.count_nonzero(wrong))
    pairs = n_wrong * (len(wrong) - n_wrong)
    return 1.0 - _misordered_pairs(wrong, scores) / pairs if pairs else float("nan")


def aurc(errors: ArrayLike, confidence: ArrayLike) -> float:
    """Area under the risk-coverage curve, in [0, 1]; lower is better (Geifman et al., arXiv 1805.08206).

    The mean over k = 1..n of the error rate of the k most confident answers; equally confident answers
    enter by the mean over all their orders.

    Parameters as for `augrc`. Prefer `augrc`: the few most confident answers weigh so much here that a
    single wrong one at the top can outweigh all others.
    """
    wrong, scores = _checked(errors, confidence)
    n = len(wrong)
    curve = risk_coverage_curve(wrong, scores)
    answered = np.concatenate(([0.0], curve.coverage * n))
    wrong_answers = np.concatenate(([0.0], curve.generalised_risk * n))
    k = np.arange(1, n + 1)
    return float(np.mean(np.interp(k, answered, wrong_answers) / k))


def risk_coverage_curve(errors: ArrayLike, confidence: ArrayLike) -> RiskCoverageCurve:
    """Coverage and risk at every distinct threshold. Parameters as for `augrc`."""
    wrong, scores = _checked(errors, confidence)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_ties = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    answered = (last_of_ties + 1).astype(np.float64)
    wrong_answers = np.cumsum(wrong[order])[last_of_ties].astype(np.float64)
    n = len(wrong)
    return RiskCoverageCurve(
        threshold=ranked[last_of_ties],
        coverage=answered / n,
        selective_risk=wrong_answers / answered,
        generalised_risk=wrong_answers / n,
    )


def selective_risk_at(errors: ArrayLike, confidence: ArrayLike, coverage: float) -> float:
    """Error rate among the answered, if at least `coverage` of the images is answered.

    At the strictest threshold that answers so many; equally confident images are answered together.
    Parameters as for `augrc`; `coverage` in (0, 1].
    """
    if not 0.0 < coverage <= 1.0:
        raise ValueError(f"coverage is {coverage!r}; it must lie above 0 and be at most 1")
    wrong, scores = _checked(errors, confidence)
    n = len(wrong)
    # Without the tolerance 0.07 * 100 = 7.000000000000001 would require an eighth image.
    rank = min(max(int(np.ceil(coverage * n - 1e-9)), 1), n)
    threshold = np.partition(scores, n - rank)[n - rank]
    answered = scores >= threshold
    return float(np.count_nonzero(wrong & answered) / np.count_nonzero(answered))


def _misordered_pairs(wrong: BoolArray, scores: FloatArray) -> float:
    """Number of pairs with the wrong answer more confident, ties counting half (Mann-Whitney)."""
    right_sorted = np.sort(np.compress(~wrong, scores))
    # Sorted queries access memory in order, which is several times faster than random access.
    wrong_sorted = np.sort(np.compress(wrong, scores))
    below = np.searchsorted(right_sorted, wrong_sorted, side="left")
    misordered = float(below.sum(dtype=np.int64))
    # Ties are rare or of few values, so the second search covers only wrong answers that have one.
    inside = below < len(right_sorted)
    tied = np.flatnonzero(inside)[right_sorted[below[inside]] == wrong_sorted[inside]]
    not_above = np.searchsorted(right_sorted, wrong_sorted[tied], side="right")
    return misordered + float((not_above - below[tied]).sum(dtype=np.int64)) / 2


def _checked(errors: ArrayLike, confidence: ArrayLike) -> tuple[BoolArray, FloatArray]:
    scores = np.asarray(confidence, dtype=np.float64)
    given = np.asarray(errors)
    if given.ndim != 1 or given.shape != scores.shape:
        raise ValueError(
            f"errors has shape {given.shape} and confidence {scores.shape}; both must be one-dimensional "
            "and of one length"
        )
    if len(given) == 0:
        raise ValueError("errors and confidence are empty; at least one answer is needed")
    if np.isnan(scores.max()):
        raise ValueError(f"confidence is NaN at row {int(np.flatnonzero(np.isnan(scores))[0])}")
    if given.dtype == np.bool_:
        return given, scores
    wrong = given == 1
    if not np.all(wrong | (given == 0)):
        row = int(np.flatnonzero(~(wrong | (given == 0)))[0])
        raise ValueError(f"errors is {given[row]!r} at row {row}; it must be 0 (right) or 1 (wrong)")
    return wrong, scores
