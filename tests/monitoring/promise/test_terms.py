"""Terms: what is watched of a certificate, and in which part an answer lies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibration.certificate import Certificate, PromisedPart
from monitoring.promise.items import NO_PART
from monitoring.promise.terms import PromiseTerms

CERTIFICATE = Certificate(
    feasible=True,
    meets_coverage=True,
    method="exact fixed sequence",
    kind="pac",
    population="image",
    alpha=0.01,
    delta=0.05,
    n=1_000,
    answered=800,
    errors=2,
    threshold=1.0,
    risk_upper_bound=0.008,
    coverage=0.8,
    coverage_lower_bound=0.78,
)
PARTS = (PromisedPart("no", 500, 400, 1), PromisedPart("yes", 500, 400, 1))


def test_a_promise_over_all_answers_has_one_part() -> None:
    terms = PromiseTerms.of("a:1", CERTIFICATE)
    assert (terms.standing, terms.parts, terms.coverage) == ("promised", (NO_PART,), 0.78)
    assert terms.part_of("yes") == NO_PART
    assert terms.threshold("broken") == 20.0


def test_each_answer_is_a_part_by_its_name() -> None:
    terms = PromiseTerms.of("a:1", replace(CERTIFICATE, each="answer", parts=PARTS))
    assert [terms.part_of(answer) for answer in ("no", "yes", "perhaps")] == ["no", "yes", NO_PART]
    assert (terms.threshold("broken"), terms.threshold("coverage")) == (40.0, 20.0)


def test_a_slice_is_what_the_request_says() -> None:
    terms = PromiseTerms.of("a:1", replace(CERTIFICATE, each="light", parts=PARTS))
    given = [terms.part_of("1", value) for value in ("no", "yes", "dusk", None)]
    assert given == ["no", "yes", NO_PART, NO_PART]


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_a_coverage_that_proves_nothing_is_not_watched(bound: float) -> None:
    assert PromiseTerms.of("a:1", replace(CERTIFICATE, coverage_lower_bound=bound)).coverage is None


def test_each_kind_of_no_promise_is_named() -> None:
    expectation = replace(CERTIFICATE, kind="expectation", delta=None, risk_upper_bound=None)
    infeasible = replace(CERTIFICATE, feasible=False, threshold=None, needed="300 more images")
    assert PromiseTerms.of("a:1", expectation).standing == "in expectation"
    assert PromiseTerms.of("a:1", infeasible).why == "300 more images"
    assert PromiseTerms.of("a:1", None, "no engine").standing == "not certified here"
    assert [PromiseTerms.of("a:1", one).answers for one in (expectation, infeasible, None)] == [
        True,
        False,
        False,
    ]
