"""McNemar on shadow pairs: exact, by unit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from calibration.experiments.arms import ShadowPairs
from calibration.experiments.shadow_pairs import mcnemar, sign_flip_p_value


def pairs(both: int, control: int, shadow: int, neither: int) -> ShadowPairs:
    """One pair per unit."""
    counts = (both, control, shadow, neither)
    rows = np.repeat(np.eye(4, dtype=np.int64), counts, axis=0)
    return ShadowPairs(*rows.T)


@pytest.mark.parametrize(("control", "shadow"), [(5, 15), (0, 6), (7, 7), (40, 90), (0, 0), (1, 0)])
def test_one_pair_per_unit_is_the_exact_test(control: int, shadow: int) -> None:
    found = mcnemar(pairs(30, control, shadow, 4))
    total = control + shadow
    expected = stats.binomtest(shadow, total).pvalue if total else 1.0
    assert found.p_value == pytest.approx(expected, abs=1e-12)
    assert found.difference == pytest.approx((shadow - control) / (34 + total))


def test_several_pairs_of_a_unit_flip_together() -> None:
    differences = np.array([3, -1, 2, 2, 0, 4])
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=6)
    ]
    expected = np.mean([one >= abs(differences.sum()) for one in sums])
    assert sign_flip_p_value(differences) == pytest.approx(expected)


def test_many_pairs_are_exact_as_well() -> None:
    differences = np.repeat([1, -1, 5], [60_000, 59_000, 10])
    spread = float(np.sqrt((differences**2).sum()))
    expected = 2.0 * stats.norm.sf((abs(differences.sum()) - 1.0) / spread)
    assert sign_flip_p_value(differences) == pytest.approx(expected, rel=0.05)


def test_the_interval_is_that_of_the_units() -> None:
    """Ten pairs that are all alike are worth one."""
    one = mcnemar(pairs(60, 10, 30, 0))
    several = pairs(60, 10, 30, 0)
    ten = mcnemar(ShadowPairs(*(10 * getattr(several, name) for name in ShadowPairs.__slots__)))
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))
    assert ten.p_value == pytest.approx(one.p_value)
    assert one.low is not None
    assert one.low > 0.0


def test_without_pairs_nothing_is_said() -> None:
    found = mcnemar(pairs(0, 0, 0, 0))
    assert (found.difference, found.low, found.p_value) == (None, None, 1.0)


def test_a_level_outside_is_refused() -> None:
    with pytest.raises(ValueError, match=r"level is 1\.0"):
        mcnemar(pairs(1, 1, 1, 1), level=1.0)
