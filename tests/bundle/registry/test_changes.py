"""Changes of what a fleet serves: what they do to champion and former champions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fakes.generations import challenger, change, generation, promotion, ref
from hypothesis import given
from hypothesis import strategies as st

from bundle.registry import changes
from bundle.registry.errors import NothingToRollBack, NotInLineup
from bundle.registry.generation import MAX_FORMER, Generation

STEPS = st.lists(st.one_of(st.sampled_from("abcdef"), st.none()), max_size=40)
"""Promotions of these bundles; None: a rollback"""


def play(steps: list[str | None]) -> list[Generation]:
    """The generations after each step; a rollback without a former champion is left out."""
    played = [changes.promoted(None, ref("0"), change())]
    for step in steps:
        if step is not None:
            played.append(changes.promoted(played[-1], ref(step), change()))
        elif played[-1].former:
            played.append(changes.rolled_back(played[-1], change()))
    return played


def test_the_first_promotion_is_generation_1() -> None:
    first = changes.promoted(None, ref("a"), change("first"))
    assert (first.number, first.champion, first.former) == (1, ref("a"), ())


def test_a_promotion_keeps_the_champion_as_the_latest_former_one() -> None:
    later = changes.promoted(generation(4, "a", former=(ref("b"),)), ref("c"), change())
    assert (later.number, later.champion, later.former) == (5, ref("c"), (ref("b"), ref("a")))


def test_promoting_the_champion_again_keeps_the_way_back() -> None:
    now = generation(4, "a", former=(ref("b"),))
    assert changes.promoted(now, ref("a"), change()).former == (ref("b"),)


def test_a_newcomer_leaves_the_challengers_and_ends_what_compared_with_the_champion() -> None:
    now = generation(
        4,
        challengers=(challenger("c", 0.1), challenger("d")),
        experiment={"name": "x"},
        next=ref("c"),
        promotion=promotion(ref("c")),
    )
    later = changes.promoted(now, ref("c"), change())
    assert (later.challengers, later.experiment, later.next, later.promotion) == (
        (challenger("d"),),
        None,
        None,
        None,
    )


def test_a_rollback_never_goes_back_to_the_bundle_just_left() -> None:
    a, b, c = ref("a"), ref("b"), ref("c")
    now = generation(9, "c", former=(c, a, b))
    back = changes.rolled_back(now, change())
    assert (back.champion, back.former) == (b, (a,))
    again = changes.rolled_back(back, change())
    assert (again.champion, again.former) == (a, ())
    with pytest.raises(NothingToRollBack, match="no former champion"):
        changes.rolled_back(again, change())


@pytest.mark.parametrize("now", [None, generation()])
def test_a_rollback_needs_a_former_champion(now: Generation | None) -> None:
    with pytest.raises(NothingToRollBack):
        changes.rolled_back(now, change())


@given(STEPS)
def test_every_sequence_of_changes_keeps_its_rules(steps: list[str | None]) -> None:
    played = play(steps)
    for before, after in pairwise(played):
        assert after.number == before.number + 1
        assert after.champion not in after.former[-1:]
        assert len(set(after.former)) == len(after.former) <= MAX_FORMER
        assert Generation.from_values(after.to_values()) == after


@given(STEPS)
def test_rollbacks_end_and_visit_no_bundle_twice(steps: list[str | None]) -> None:
    now = play(steps)[-1]
    visited = [now.champion]
    while now.former:
        now = changes.rolled_back(now, change())
        visited.append(now.champion)
    assert len(set(visited)) == len(visited)


def test_a_challenger_replaces_one_of_its_name_or_its_bundle() -> None:
    now = generation(challengers=(challenger("c"), challenger("d", 0.1)))
    later = changes.with_challenger(now, challenger("c", 0.2), change())
    assert later.challengers == (challenger("d", 0.1), challenger("c", 0.2))


def test_a_challenger_leaves_and_one_that_is_not_there_is_named() -> None:
    now = generation(challengers=(challenger("c"), challenger("d")))
    assert changes.without_challenger(now, "name-c", change()).challengers == (challenger("d"),)
    with pytest.raises(NotInLineup, match=r"no challenger 'x'; its challengers: name-c, name-d"):
        changes.without_challenger(now, "x", change())


def test_preparing_line_up_and_promotion_leave_the_champion() -> None:
    now = generation(2, former=(ref("b"),))
    state = promotion(ref("c"))
    prepared = changes.with_next(now, ref("c"), change(), promotion=state)
    lined = changes.with_lineup(prepared, (challenger("c"),), {"name": "x"}, change())
    last = changes.with_promotion(lined, None, change())
    assert (prepared.next, prepared.promotion) == (ref("c"), state)
    assert (lined.challengers, lined.experiment) == ((challenger("c"),), {"name": "x"})
    assert (last.number, last.promotion, last.champion, last.former) == (5, None, ref("a"), (ref("b"),))
