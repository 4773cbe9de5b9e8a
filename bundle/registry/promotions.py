"""Decisions about a running promotion, as the next generation of its fleet: approved, aborted, undone.

Whoever decides, a person at a private port or on a command line, writes the same record; the promoter reads
it and goes on or ends. Nothing is written here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bundle.registry import changes
from bundle.registry.errors import NoSuchPromotion
from bundle.registry.generation import Approval, Change, Generation, PromotionState

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
    champion before it serves again. Raises NothingToRollBack."""
    if now.champion == state.newcomer:
        return changes.rolled_back(now, change, promotion=state)
    others = tuple(one for one in now.challengers if one.bundle != state.newcomer)
    without = changes.with_lineup(now, others, None, change)
    return replace(without, next=None, promotion=state)


def _running(now: Generation | None, decision: str) -> PromotionState:
    state = running(now)
    if state is not None:
        return state
    last = None if now is None else now.promotion
    before = "" if last is None else f"; the last one, {last.id} of {last.newcomer.label}, is {last.phase}"
    raise NoSuchPromotion(
        f"no promotion runs, so there is none to {decision}{before}; begin one with `demur promote BUNDLE`"
    )
