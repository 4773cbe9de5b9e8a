"""The weights by which answered images are audited."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration import audit_weights


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
