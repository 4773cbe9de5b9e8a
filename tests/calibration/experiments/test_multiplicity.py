"""Holm over several comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import compare
from calibration.experiments.multiplicity import conclude_together, holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_values_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="p_values"):
        holm([0.5, 1.5])


def test_what_is_alone_but_not_together_becomes_inconclusive(two_arms: Callable[..., ArmTable]) -> None:
    found = replace(compare(two_arms((3400, 4000), (3640, 4000)), "accuracy"), p_value=0.03)
    assert [one.conclusion for one, _ in conclude_together([found])] == ["better"]
    together = conclude_together([found, replace(found, p_value=0.9)])
    assert [one.conclusion for one, _ in together] == ["inconclusive", "inconclusive"]
    assert "Holm" in together[0][0].reason
    assert together[0][1] == pytest.approx(0.06)
