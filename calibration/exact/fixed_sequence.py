"""Default certificate: thresholds tested strict to loose with the exact binomial test.

Fixed-sequence testing (Learn-then-Test, arXiv 2110.01052, section 4.2): the order of the thresholds
is fixed without calibration labels, each is tested at the full delta, the first failure
ends the sequence, and the last that passed is certified. If a threshold whose true risk exceeds alpha is
certified, then the first such threshold in the order was passed, which happens with probability at
most delta; no correction for the number of thresholds is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from numpy.typing import ArrayLike

from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, RiskTarget
from calibration.exact.look_ahead import certify_look_ahead
from calibration.exact.path_test import PathTest, Start, certify_path
from calibration.exact.paths import StagePath
from calibration.groups import UNGROUPED, Sampling

Method = Literal["rank start", "grid", "randomised", "look-ahead"]

STARTS: Mapping[str, Start] = MappingProxyType(
    {"rank start": "rank", "grid": "path", "randomised": "path", "look-ahead": "rank"}
)


RANK_START = PathTest("exact fixed sequence, rank start")


def certify(
    confidence: ArrayLike,
    errors: ArrayLike,
    thresholds: ArrayLike | None,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    *,
    method: Method = "rank start",
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Certify the loosest threshold whose answers are wrong at most `target.alpha`.

    confidence [n] and errors [n] (1: the stage's label is wrong) are of the calibration split;
    thresholds [T], strict to loose, from `plan_thresholds` on another split. None takes the
    calibration ranks themselves (scores only). `sampling` names the drive, track or burst of each image
    (see `independent_units`) and the seed of all draws.

    Methods: "rank start" (default) starts at the rank at which one error still certifies (calibration rank
    473 at 1 % and 95 %) and refines the grid by ranks: exact if the thresholds of too high a risk are the
    loose ones. "grid" tests the given grid alone: no assumption. "randomised" is "grid" with randomised
    p-values: no assumption, more power. It needs `sampling.uniform`, one number per split from the system's
    randomness (`Ledger.uniform`), because a public seed fixes the level of the test (up to .12). "look-ahead"
    tests every rank with the errors below it too: more coverage, under the assumption that errors never
    become rarer as the confidence falls (`calibration.exact.look_ahead`).

    On a hard problem the certificate is infeasible and says what is needed; ValueError for malformed input
    only. `coverage_lower_bound` holds with confidence 1 - delta of its own (DKW inequality); both statements
    together hold with confidence 1 - 2 delta. `risk_upper_bound` is the proven risk: alpha if the sequence
    ended by a failure, and the Clopper-Pearson bound of the last step if all steps passed (the same fixed
    sequence then continues to smaller alpha).
    """
    path = StagePath.read(confidence, errors, thresholds)
    if method not in STARTS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(STARTS)}")
    if thresholds is None and STARTS[method] == "path":
        raise ValueError("thresholds is None; this method tests a grid that was planned beforehand")
    if method == "look-ahead":
        return certify_look_ahead(path, target, sampling, certified_on)
    if method == "randomised" and sampling.uniform is None:
        raise ValueError(
            "uniform is missing; a randomised test needs sampling.uniform, drawn once per split from the "
            "system's randomness: take it from Ledger.uniform"
        )
    uniform = sampling.uniform if method == "randomised" else None
    test = PathTest(f"exact fixed sequence, {method}", STARTS[method], uniform)
    return certify_path(path, target, sampling=sampling, test=test, certified_on=certified_on)
