"""Windows of units: which frames are taken for one piece of evidence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.windows.unit_windows import ItemTimes, unit_window

GAP = 600.0


@given(unit=st.text(min_size=1, max_size=30), at=st.floats(0, 4e9))
def test_a_window_is_as_long_as_the_gap(unit: str, at: float) -> None:
    window = unit_window(unit, at, GAP)
    assert len(window.unit) == 8
    assert unit_window(unit, at + GAP, GAP).number == window.number + 1
    assert unit_window(unit, at + GAP / 2, GAP).number in (window.number, window.number + 1)


def test_units_have_phases_of_their_own() -> None:
    """At any moment about a tenth of the units are in the first tenth of their window."""
    at, young = 1.7e9, 0
    for number in range(1000):
        young += unit_window(f"unit-{number}", at - GAP / 10, GAP) != unit_window(f"unit-{number}", at, GAP)
    assert 60 < young < 150


def test_a_long_name_is_known_by_its_digest() -> None:
    assert len(unit_window("x" * 10_000, 0.0, GAP).unit) == 8
    assert unit_window("x" * 10_000, 0.0, GAP).unit != unit_window("x" * 9_999, 0.0, GAP).unit


@pytest.mark.parametrize(
    "given", [{"gap": 0.5}, {"wait": 0.0}, {"gap": float("nan")}, {"wait": float("inf")}]
)
def test_times_must_be_finite_and_at_least_a_second(given: dict[str, float]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} is .*at least 1 second"):
        ItemTimes(**given)
