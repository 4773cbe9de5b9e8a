"""Decisions about a running promotion, as the next generation of its fleet: approved, aborted, undone.

Whoever decides, a person at a private port or on a command line, writes the same record; the promoter reads
it and goes on or ends. Nothing is written here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bundle.registry import changes
from bundle.registry.errors import NoSuchPromotion
from bundle.registry.generation import Approval, Challenger, Change, Generation, PromotionState

WAITS_FOR_APPROVAL: Final = "approval"
ROLLED_BACK: Final = "rolled-back"
ENDED: Final = ("promoted", ROLLED_BACK)
"""Phases in which a promotion runs no more"""


def running(now: Generation | None) -> PromotionState | None:
    """The promotion that runs; None: none does."""
    state = None if now is None else now.promotion
    return None if state is None or state.phase in ENDED else state


def approved(now: Generation | None, approval: Approval, change: Change) -> Generation:
    """A person has said yes; the promoter goes on. Raises NoSuchPromotion."""
    state = _running(now, "approve")
    if state.phase != WAITS_FOR_APPROVAL:
        raise NoSuchPromotion(
            f"the promotion {state.id} of {state.newcomer.label} does not wait for an approval: its phase is "
            f"{state.phase}; look at it with `demur promotion status`"
        )
    if state.approval is not None:
        raise NoSuchPromotion(
            f"the promotion {state.id} of {state.newcomer.label} is approved already, by {state.approval.by}"
        )
    assert now is not None  # noqa: S101 - it has a promotion
    return changes.with_promotion(now, replace(state, approval=approval), change)


def aborted(now: Generation | None, change: Change) -> Generation:
    """The promotion has ended by decision of `change.by`, and what it has done is undone. Raises
    NoSuchPromotion."""
    state = _running(now, "abort")
    why = f"aborted by {change.by}: {change.reason}" if change.reason else f"aborted by {change.by}"
    assert now is not None  # noqa: S101 - it has a promotion
    return undone(now, replace(state, phase=ROLLED_BACK, step=0, why=why, since=change.at), change)


def undone(now: Generation, state: PromotionState, change: Change) -> Generation:
    """The promotion has ended as `state` says: the newcomer has left the line-up with its experiment, or the
    champion before it serves again. A first champion stays, since nothing would answer without it."""
    if now.champion == state.newcomer and now.former:
        return changes.rolled_back(now, change, promotion=state)
    return replace(
        changes.with_lineup(now, _without_newcomer(now, state), None, change), next=None, promotion=state
    )


def sent_back(now: Generation | None, change: Change, *, champion_broken: bool = False) -> Generation:
    """A rollback, whatever runs. Without a promotion, the champion before this one serves again.

    With one, the promotion ends and is undone. `champion_broken`: the champion of now is what must go, also
    while a newcomer is beside it; a person who asks during a promotion means the newcomer. Raises
    NothingToRollBack.
    """
    state = running(now)
    if state is None or now is None:
        return changes.rolled_back(now, change)
    if not champion_broken or now.champion == state.newcomer:
        return aborted(now, change)
    why = f"the champion beside the newcomer was rolled back by {change.by}: {change.reason}"
    ended = replace(state, phase=ROLLED_BACK, step=0, why=why, since=change.at)
    back = changes.rolled_back(now, change, promotion=ended)
    return replace(back, challengers=_without_newcomer(back, state))


def _without_newcomer(now: Generation, state: PromotionState) -> tuple[Challenger, ...]:
    return tuple(one for one in now.challengers if one.bundle != state.newcomer)


def _running(now: Generation | None, decision: str) -> PromotionState:
    state = running(now)
    if state is not None:
        return state
    last = None if now is None else now.promotion
    before = "" if last is None else f"; the last one, {last.id} of {last.newcomer.label}, is {last.phase}"
    raise NoSuchPromotion(
        f"no promotion runs, so there is none to {decision}{before}; begin one with `demur promote BUNDLE`"
    )
