"""History of a fleet: what each alias pointed at, since when and why."""

from __future__ import annotations

from fakes.generations import challenger, change, ref

from bundle.registry import changes
from bundle.registry.generation import Change, Generation
from bundle.registry.history import Pointed, alias_changes, standing_at


def played() -> list[Generation]:
    """a, then b with a promotion, a challenger c at 10 % and then 50 %, and back to a."""
    first = changes.promoted(None, ref("a"), change("first", at=10.0))
    second = changes.promoted(first, ref("b"), Change(20.0, "Ada", "better", "p1"))
    third = changes.with_challenger(second, challenger("c", 0.1), change("try", at=30.0))
    fourth = changes.with_challenger(third, challenger("c", 0.5), change("more", at=40.0))
    fifth = changes.rolled_back(fourth, change("worse", at=50.0))
    return [first, second, third, fourth, fifth]


def test_each_change_says_what_it_did_to_which_alias() -> None:
    found = [{one.alias: (one.before, one.now) for one in changed} for _, changed in alias_changes(played())]
    a, b, c = (Pointed(ref(letter)) for letter in "abc")
    tenth, half = Pointed(c.bundle, 0.1), Pointed(c.bundle, 0.5)
    assert found == [
        {"champion": (None, a)},
        {"champion": (a, b), "previous": (None, a)},
        {"challenger-name-c": (None, tenth)},
        {"challenger-name-c": (tenth, half)},
        {"champion": (b, a), "previous": (a, None)},
    ]


def test_a_moment_has_for_each_alias_the_change_that_made_it_so() -> None:
    then, standing = standing_at(played(), 45.0)
    assert then is not None
    assert then.number == 4
    assert {one.alias: (one.now, one.change.at, one.change.promotion) for one in standing if one.now} == {
        "champion": (Pointed(ref("b")), 20.0, "p1"),
        "previous": (Pointed(ref("a")), 20.0, "p1"),
        "challenger-name-c": (Pointed(ref("c"), 0.5), 40.0, None),
    }


def test_before_the_first_record_nothing_stood() -> None:
    assert standing_at(played(), 9.0) == (None, [])
    assert standing_at([], 9.0) == (None, [])


def test_after_a_clock_that_was_set_back_the_order_of_the_records_decides() -> None:
    first = changes.promoted(None, ref("a"), change(at=100.0))
    second = changes.promoted(first, ref("b"), change(at=40.0))
    then, standing = standing_at([first, second], 50.0)
    assert then == second
    assert {one.alias for one in standing} == {"champion", "previous"}
    assert standing_at([first, second], 30.0) == (None, [])
