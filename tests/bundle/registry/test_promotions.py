"""Decisions about a promotion: what an approval and an abort make of the record, in each of its phases."""

from __future__ import annotations

import pytest
from fakes.generations import challenger, change, generation, promotion, ref

from bundle.registry.errors import NoSuchPromotion, NothingToRollBack
from bundle.registry.generation import Approval, Challenger
from bundle.registry.promotions import aborted, approved, running, sent_back

STOP = change("too many complaints", at=2000.0)
YES = Approval(2000.0, "Ada", "seen")
NEWCOMER = ref("b")


@pytest.mark.parametrize("phase", ["gates", "prepare", "shadow", "canary", "approval"])
def test_an_abort_before_the_switch_leaves_the_champion_alone(phase: str) -> None:
    now = generation(
        7,
        "a",
        former=(ref("c"),),
        challengers=(challenger("d", 0.1), Challenger("newcomer", NEWCOMER, 0.05)),
        experiment={"name": "promotion-p1"},
        next=NEWCOMER,
        promotion=promotion(NEWCOMER, phase=phase),
    )
    then = aborted(now, STOP)
    assert (then.number, then.champion, then.former) == (8, ref("a"), (ref("c"),))
    assert (then.challengers, then.experiment, then.next) == ((challenger("d", 0.1),), None, None)
    assert then.promotion is not None
    assert (then.promotion.phase, then.promotion.since) == ("rolled-back", 2000.0)
    assert then.promotion.why == "aborted by tests: too many complaints"
    assert running(now) is not None
    assert running(then) is None


def test_an_abort_after_the_switch_goes_back_to_the_champion_before() -> None:
    now = generation(9, "b", former=(ref("c"), ref("a")), promotion=promotion(NEWCOMER, phase="everything"))
    then = aborted(now, STOP)
    assert (then.champion, then.former) == (ref("a"), (ref("c"),))
    assert then.promotion is not None
    assert then.promotion.phase == "rolled-back"


def test_an_approval_is_in_the_record_once_and_changes_nothing_else() -> None:
    now = generation(
        9, "a", challengers=(challenger("b", 0.5),), promotion=promotion(NEWCOMER, phase="approval")
    )
    then = approved(now, YES, STOP)
    assert (then.champion, then.challengers) == (now.champion, now.challengers)
    assert then.promotion is not None
    assert (then.promotion.phase, then.promotion.approval) == ("approval", YES)
    with pytest.raises(NoSuchPromotion, match="approved already, by Ada"):
        approved(then, YES, STOP)


@pytest.mark.parametrize("phase", ["gates", "prepare", "shadow", "canary", "everything"])
def test_an_approval_that_is_not_waited_for_is_refused(phase: str) -> None:
    with pytest.raises(
        NoSuchPromotion, match=f"its phase is {phase}; look at it with `demur promotion status`"
    ):
        approved(generation(promotion=promotion(NEWCOMER, phase=phase)), YES, STOP)


@pytest.mark.parametrize(
    "now", [None, generation(), generation(promotion=promotion(NEWCOMER, phase="promoted"))]
)
def test_without_a_running_promotion_there_is_nothing_to_decide(now: object) -> None:
    for decide in (lambda: aborted(now, STOP), lambda: approved(now, YES, STOP)):  # type: ignore[arg-type]
        with pytest.raises(NoSuchPromotion, match="no promotion runs"):
            decide()


def test_an_abort_of_a_first_promotion_leaves_what_answers() -> None:
    then = aborted(generation(3, "b", promotion=promotion(NEWCOMER, phase="everything")), STOP)
    assert then.champion == NEWCOMER
    assert then.promotion is not None
    assert then.promotion.phase == "rolled-back"


def test_a_rollback_without_a_promotion_goes_to_the_champion_before() -> None:
    ended = promotion(NEWCOMER, phase="promoted")
    then = sent_back(generation(9, "b", former=(ref("a"),), promotion=ended), STOP)
    assert (then.champion, then.former, then.promotion) == (ref("a"), (), None)
    with pytest.raises(NothingToRollBack):
        sent_back(then, STOP)
    with pytest.raises(NothingToRollBack):
        sent_back(None, STOP)


@pytest.mark.parametrize("broken", [True, False])
def test_a_rollback_after_the_switch_of_a_promotion_ends_it(broken: bool) -> None:
    now = generation(9, "b", former=(ref("a"),), promotion=promotion(NEWCOMER, phase="everything"))
    then = sent_back(now, STOP, champion_broken=broken)
    assert (then.champion, running(then)) == (ref("a"), None)
    assert then.promotion is not None
    assert then.promotion.phase == "rolled-back"


def test_a_rollback_during_a_promotion_means_the_newcomer_unless_the_champion_is_broken() -> None:
    now = generation(
        9,
        "a",
        former=(ref("c"),),
        challengers=(Challenger("newcomer", NEWCOMER, 0.05),),
        experiment={"name": "promotion-p1"},
        promotion=promotion(NEWCOMER, phase="canary"),
    )
    by_a_person, broken = sent_back(now, STOP), sent_back(now, STOP, champion_broken=True)
    assert (by_a_person.champion, broken.champion) == (ref("a"), ref("c"))
    for then in (by_a_person, broken):
        assert (then.challengers, then.experiment, then.next) == ((), None, None)
        assert then.promotion is not None
        assert (then.promotion.phase, then.promotion.since) == ("rolled-back", 2000.0)
        assert "too many complaints" in (then.promotion.why or "")
