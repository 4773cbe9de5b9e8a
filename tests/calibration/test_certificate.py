"""The words of a certificate: the sentence is its claim, its evidence and its doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from calibration.certificate import Certificate, PromisedPart, read_certificates, write_certificates

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


SHARES = replace(
    EXACT,
    prevalence=(0.1, 0.4),
    prevalence_of=("roadwork",),
    parts=(PromisedPart("10 % roadwork", 1300, 1100, 3), PromisedPart("40 % roadwork", 900, 700, 2)),
)


def test_an_interval_of_shares_is_said_with_both_ends() -> None:
    assert SHARES.sentence() == (
        "With 95 % confidence, at most 1 % of the answered images are answered wrongly as long as between "
        "10 % and 40 % of the images are roadwork and each class looks as it did: at 10 % roadwork 3 wrong "
        "among 1100 answered of 1300 drawn units; at 40 % roadwork 2 wrong among 700 answered of 900 "
        "drawn units; 8 wrong among 1446 answered of 1500 independent calibration units, coverage 96.4 %."
    )
    infeasible = replace(INFEASIBLE, prevalence=(0.25, 0.25), prevalence_of=("roadwork",))
    assert infeasible.claim() == (
        "No promise of at most 1 % wrong answers as long as 25 % of the images are roadwork and each class "
        "looks as it did can be made"
    )


@pytest.mark.parametrize(
    "certificate",
    [
        EXACT,
        SHARES,
        replace(
            SHARES, prevalence=((0.1, 0.4), (0.2, 0.5), (0.3, 0.3)), prevalence_of=("car", "bus", "bike")
        ),
    ],
    ids=["usual", "one interval", "a box"],
)
def test_the_text_of_a_certificate_is_read_back(certificate: Certificate) -> None:
    text = write_certificates([certificate])
    assert read_certificates(text) == (certificate,)
    assert ("prevalence" in text) == (certificate.prevalence is not None)


@pytest.mark.parametrize(
    "changes",
    [
        {"prevalence": (0.4, 0.1)},
        {"prevalence_of": ()},
        {"parts": ()},
        {"kind": "expectation", "delta": None, "risk_upper_bound": None},
        {"each": "answer"},
    ],
)
def test_shares_without_their_proof_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="prevalence"):
        replace(SHARES, **changes)
