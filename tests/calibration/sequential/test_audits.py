"""The weights by which answered images are audited."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration import audit_weights
from calibration.sequential.audits import AuditCurve


def test_weights_follow_the_square_root_of_the_error_rate() -> None:
    weights = audit_weights(np.array([0.0, 0.01, 0.04]))
    assert weights == pytest.approx([0.4, 0.4 + 0.6 * 1.0, 0.4 + 0.6 * 2.0])
    assert weights.mean() == pytest.approx(1.0)


def test_without_errors_the_audit_is_uniform() -> None:
    np.testing.assert_array_equal(audit_weights(np.zeros(5)), np.ones(5))


@pytest.mark.parametrize("rates", [np.array([]), np.array([[0.1]]), np.array([0.1, np.nan]), np.array([1.1])])
def test_malformed_rates_are_refused(rates: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="error_rate"):
        audit_weights(rates)


class TestAuditCurve:
    def curve(self) -> AuditCurve:
        return AuditCurve((1.0, 2.0, 4.0), (3.0, 1.0, 0.5))

    @pytest.mark.parametrize(
        ("confidence", "weight"),
        [(-5.0, 3.0), (1.0, 3.0), (1.5, 2.0), (2.0, 1.0), (3.0, 0.75), (4.0, 0.5), (1e300, 0.5)],
    )
    def test_it_is_linear_between_its_points_and_constant_beyond(
        self, confidence: float, weight: float
    ) -> None:
        assert self.curve().weight(confidence) == pytest.approx(weight, abs=1e-12)

    def test_a_confidence_that_is_no_number_gets_the_largest_weight(self) -> None:
        assert self.curve().weight(float("nan")) == 3.0

    def test_a_curve_through_many_answers_keeps_their_mean_weight(self) -> None:
        confidence = np.random.default_rng(0).gamma(2.0, 2.0, 4000)
        weight = audit_weights(1.0 / (1.0 + np.exp(1.0 + confidence)))
        curve = AuditCurve.through(confidence, weight)
        assert len(curve.weights) <= 32
        read = np.array([curve.weight(one) for one in confidence.tolist()])
        assert read.mean() == pytest.approx(1.0, abs=0.01)
        np.testing.assert_allclose(read, weight, rtol=0.05)

    def test_answers_of_one_confidence_make_a_curve_of_one_point(self) -> None:
        curve = AuditCurve.through(np.full(7, 2.5), np.ones(7))
        assert curve == AuditCurve((2.5,), (1.0,))

    @pytest.mark.parametrize(
        ("confidences", "weights"),
        [
            ((), ()),
            ((1.0,), (1.0, 1.0)),
            ((2.0, 1.0), (1.0, 1.0)),
            ((1.0, 2.0), (1.0, 1.1)),
            ((1.0, 2.0), (1.0, 0.39)),
            ((1.0, np.inf), (1.0, 1.0)),
            ((1.0, 2.0), (np.nan, 1.0)),
        ],
    )
    def test_a_curve_that_is_none_is_refused(
        self, confidences: tuple[float, ...], weights: tuple[float, ...]
    ) -> None:
        with pytest.raises(ValueError, match="curve"):
            AuditCurve(confidences, weights)
