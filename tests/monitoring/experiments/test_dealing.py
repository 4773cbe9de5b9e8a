"""Dealing of units: whatever sequence of changes, no unit moves between two challengers."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.experiments.dealing import (
    POINTS,
    ChangeImpossible,
    Dealing,
    RunningExperiment,
    Segment,
    point_of,
)

ARMS = ("a:1", "b:2", "c:3")
_SHARES = st.one_of(st.floats(0, 1), st.sampled_from((0.0, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)))
_CHANGES = st.lists(st.tuples(st.sampled_from(ARMS), _SHARES), max_size=12)


def owner(dealing: Dealing, point: int) -> str | None:
    """A second way to look a point up: every segment is asked."""
    found = [one.arm for one in dealing.segments if one.begin <= point < one.end and one.serves]
    assert len(found) <= 1
    return found[0] if found else None


def boundaries(*dealings: Dealing) -> list[int]:
    """A point of each piece in which nothing changes: between them the dealings are constant."""
    ends = {0, *(end for one in dealings for part in one.segments for end in (part.begin, part.end))}
    return sorted(end for end in ends if end < POINTS)


def history(changes: list[tuple[str, float]]) -> list[Dealing]:
    """The dealings after each change that was possible, the empty one first."""
    dealings = [Dealing()]
    for arm, share in changes:
        try:
            dealings.append(dealings[-1].changed(arm, share))
        except ChangeImpossible:
            assert round(share * POINTS) > round(dealings[-1].largest(arm) * POINTS)
    return dealings


@given(changes=_CHANGES)
def test_no_unit_ever_gets_two_challengers(changes: list[tuple[str, float]]) -> None:
    dealings = history(changes)
    for point in boundaries(*dealings):
        arms = {dealing.arm_at(point) for dealing in dealings} - {None}
        assert len(arms) <= 1


@given(changes=_CHANGES)
def test_a_change_touches_its_own_arm_and_the_control_alone(changes: list[tuple[str, float]]) -> None:
    before = Dealing()
    for arm, share in changes:
        try:
            after = before.changed(arm, share)
        except ChangeImpossible:
            continue
        grows = after.length(arm) >= before.length(arm)
        for point in boundaries(before, after):
            old, new = before.arm_at(point), after.arm_at(point)
            if old != new:
                assert (old, new) == ((None, arm) if grows else (arm, None))
        before = after


@given(changes=_CHANGES)
def test_lengths_are_exact_and_segments_are_in_order(changes: list[tuple[str, float]]) -> None:
    dealing, wanted = Dealing(), dict.fromkeys(ARMS, 0)
    for arm, share in changes:
        try:
            dealing = dealing.changed(arm, share)
        except ChangeImpossible:
            continue
        wanted[arm] = min(round(share * POINTS), round(dealing.largest(arm) * POINTS))
        assert {arm: dealing.length(arm) for arm in ARMS} == wanted
        ends = [end for one in dealing.segments for end in (one.begin, one.end)]
        assert ends == sorted(ends)
        assert all(one.length > 0 for one in dealing.segments)
        assert not ends or (ends[0] >= 0 and ends[-1] <= POINTS)


@given(changes=_CHANGES, point=st.integers(0, POINTS - 1))
def test_the_same_changes_give_the_same_dealing(changes: list[tuple[str, float]], point: int) -> None:
    one, other = history(changes)[-1], history(changes)[-1]
    assert one == other
    assert one.arm_at(point) == owner(one, point)


@given(shares=st.lists(st.floats(0, 0.3), max_size=3))
def test_shares_lie_side_by_side(shares: list[float]) -> None:
    dealing = Dealing.of(dict(zip(ARMS, shares, strict=False)))
    begins = [0]
    for share in shares:
        begins.append(begins[-1] + round(share * POINTS))
    for point in {*begins[:-1], *(end - 1 for end in begins[1:] if end)}:
        index = bisect_right(begins, point) - 1
        assert dealing.arm_at(point) == (ARMS[index] if index < len(shares) else None)


def test_growing_the_first_of_two_leaves_the_second_its_units() -> None:
    before = Dealing.of({"a:1": 0.1, "b:2": 0.1})
    after = before.changed("a:1", 0.2)
    tenth = round(0.1 * POINTS)
    assert before.segments == (Segment(0, tenth, "a:1"), Segment(tenth, 2 * tenth, "b:2"))
    assert after.segments == (
        Segment(0, tenth, "a:1"),
        Segment(tenth, 2 * tenth, "b:2"),
        Segment(2 * tenth, tenth + round(0.2 * POINTS), "a:1"),
    )
    withdrawn = after.changed("a:1", 0.0)
    assert withdrawn.shares() == {"b:2": 0.1}
    assert [withdrawn.arm_at(point) for point in (0, tenth, 2 * tenth)] == [None, "b:2", None]


def test_an_arm_that_comes_back_gets_its_own_units_first() -> None:
    first = Dealing.of({"a:1": 0.2, "b:2": 0.2})
    gone = first.changed("a:1", 0.0)
    assert gone.changed("b:2", 0.4).changed("a:1", 0.2).arm_at(0) == "a:1"
    assert gone.changed("a:1", 0.2) == first


@pytest.mark.parametrize("arm", ["b:2", "c:3"])
def test_units_of_a_withdrawn_arm_are_never_dealt_to_another(arm: str) -> None:
    dealing = Dealing.of({"a:1": 0.6, "b:2": 0.1}).changed("a:1", 0.0)
    with pytest.raises(ChangeImpossible, match=r"at most 0\.[34] is possible.*start another"):
        dealing.changed(arm, 0.5)


def test_rounded_thirds_fill_the_whole() -> None:
    dealing = Dealing.of(dict.fromkeys(ARMS, 0.33333333334))
    assert sum(dealing.length(arm) for arm in ARMS) == POINTS
    with pytest.raises(ChangeImpossible):
        Dealing.of(dict.fromkeys(ARMS, 0.3334))


def test_units_are_dealt_by_share() -> None:
    experiment = RunningExperiment("e", "s", 0, Dealing.of({"a:1": 0.1, "b:2": 0.3}))
    arms = Counter(experiment.arm_of(f"unit-{number}") for number in range(20_000))
    # Five standard deviations of a binomial share.
    shares: dict[Any, float] = {"a:1": 0.1, "b:2": 0.3, None: 0.6}
    for arm, share in shares.items():
        assert abs(arms[arm] / 20_000 - share) < 5 * (share * (1 - share) / 20_000) ** 0.5


def test_the_point_of_a_unit_never_changes() -> None:
    half = RunningExperiment("default", "salt", 0, Dealing.of({"a:1": 0.5}))
    known = [half.arm_of(f"camera-{number}") for number in range(8)]
    # Worked out by hand from sha256sum.
    assert known == ["a:1", "a:1", None, None, "a:1", "a:1", "a:1", "a:1"]
    assert known != [
        RunningExperiment("other", "salt", 0, half.dealing).arm_of(f"camera-{number}") for number in range(8)
    ]
    assert 0 <= point_of("e", "s", "u" * 10_000) < POINTS


def test_each_change_opens_a_stratum() -> None:
    first = RunningExperiment("e", "s", 0, Dealing.of({"a:1": 0.1}))
    second = first.changed("a:1", 0.2)
    assert (second.stratum, second.dealing.shares()) == (1, {"a:1": 0.2})
    # The same change again deals the same units, and is a stratum all the same.
    assert second.changed("a:1", 0.2).dealing == second.dealing
