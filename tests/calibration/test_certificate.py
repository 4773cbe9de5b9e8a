"""The words of a certificate: the sentence is its claim, its evidence and its doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibration.certificate import Certificate

EXACT = Certificate(
    feasible=True,
    meets_coverage=True,
    method="exact",
    kind="pac",
    population="image",
    alpha=0.01,
    delta=0.05,
    n=1500,
    answered=1446,
    errors=8,
    threshold=2.0,
    risk_upper_bound=0.0099,
    coverage=0.964,
    coverage_lower_bound=0.955,
)
EXPECTED = replace(EXACT, kind="expectation", delta=None, risk_upper_bound=None)
INFEASIBLE = replace(
    EXACT, feasible=False, threshold=None, answered=0, errors=0, needed="149 more labelled images are needed"
)
DOUBT = "Nobody has said whether images of one owner belong together."


@pytest.mark.parametrize(
    ("certificate", "claim", "evidence"),
    [
        (
            EXACT,
            "With 95 % confidence, at most 1 % of the answered images are answered wrongly",
            ": 8 wrong among 1446 answered of 1500 independent calibration units, coverage 96.4 %.",
        ),
        (
            EXPECTED,
            "On average over calibration draws, at most 1 % of the answered images are answered wrongly "
            "(in expectation only, no confidence level)",
            "; 96.4 % of 1500 calibration units are answered.",
        ),
        (
            INFEASIBLE,
            "No promise of at most 1 % wrong answers can be made",
            ": 149 more labelled images are needed.",
        ),
    ],
    ids=["exact", "in expectation", "infeasible"],
)
def test_claim_and_evidence_are_the_sentence(certificate: Certificate, claim: str, evidence: str) -> None:
    assert certificate.claim() == claim
    assert certificate.evidence() == evidence[2:]
    assert certificate.sentence() == claim + evidence


def test_a_doubt_follows_a_promise_and_no_other_sentence() -> None:
    assert replace(EXACT, doubt=DOUBT).sentence() == f"{EXACT.sentence()} {DOUBT}"
    assert replace(EXACT, doubt=DOUBT).evidence() == EXACT.evidence()
    assert replace(INFEASIBLE, doubt=DOUBT).sentence() == INFEASIBLE.sentence()
