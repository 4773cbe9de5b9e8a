"""Changes of what a fleet serves: the next generation from the present one, as values.

Here alone is decided what a change does to the former champions. Nothing is written; see `FleetLog.change`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bundle.registry.errors import NothingToRollBack, NotInLineup
from bundle.registry.generation import MAX_FORMER, Challenger, Change, Generation, PromotionState, Ref


def promoted(
    now: Generation | None, newcomer: Ref, change: Change, *, promotion: PromotionState | None = None
) -> Generation:
    """`newcomer` is the champion, and the champion of now the latest former one.

    `now`: None for the first record of a fleet. The newcomer leaves the challengers, an experiment ends with
    the champion that it compared with, and nothing is prepared any more. To promote the champion of now
    changes no former champion, so that a request that is repeated keeps the way back.
    """
    if now is None:
        return Generation(1, newcomer, change, promotion=promotion)
    former = now.former if now.champion in (None, newcomer) else _with(now.former, now.champion)
    return replace(
        _following(now, change),
        champion=newcomer,
        former=former,
        challengers=_without(now, newcomer),
        experiment=None,
        next=None,
        promotion=promotion,
    )


def rolled_back(
    now: Generation | None, change: Change, *, promotion: PromotionState | None = None
) -> Generation:
    """The latest former champion serves again, and the champion of now is no target of a later rollback.

    Raises NothingToRollBack.
    """
    if now is None or not now.former:
        raise NothingToRollBack(
            "the fleet has no former champion to go back to; make another bundle the champion with "
            "`demur promote`"
        )
    champion = now.former[-1]
    former = tuple(one for one in now.former if one not in (now.champion, champion))
    return replace(
        _following(now, change),
        champion=champion,
        former=former,
        challengers=_without(now, champion),
        experiment=None,
        next=None,
        promotion=promotion,
    )


def with_next(
    now: Generation, bundle: Ref | None, change: Change, *, promotion: PromotionState | None = None
) -> Generation:
    """Every service opens `bundle` beside the champion; None: nothing more is prepared."""
    return replace(_following(now, change), next=bundle, promotion=promotion or now.promotion)


def with_challenger(now: Generation, challenger: Challenger, change: Change) -> Generation:
    """`challenger` is beside the champion, in the place of one of the same name or of the same bundle."""
    others = tuple(
        one for one in now.challengers if one.name != challenger.name and one.bundle != challenger.bundle
    )
    return replace(_following(now, change), challengers=(*others, challenger))


def without_challenger(now: Generation, name: str, change: Change) -> Generation:
    """The challenger `name` has left the line-up. Raises NotInLineup."""
    left = tuple(one for one in now.challengers if one.name != name)
    if len(left) == len(now.challengers):
        there = ", ".join(one.name for one in now.challengers) or "none"
        raise NotInLineup(f"the line-up has no challenger {name!r}; its challengers: {there}")
    return replace(_following(now, change), challengers=left)


def with_lineup(
    now: Generation,
    challengers: tuple[Challenger, ...],
    experiment: Mapping[str, Any] | None,
    change: Change,
) -> Generation:
    """Challengers and experiment as given; the champion stays."""
    return replace(_following(now, change), challengers=challengers, experiment=experiment)


def with_promotion(now: Generation, promotion: PromotionState | None, change: Change) -> Generation:
    """The promotion is as given; what serves stays."""
    return replace(_following(now, change), promotion=promotion)


def _following(now: Generation, change: Change) -> Generation:
    return replace(now, number=now.number + 1, change=change)


def _with(former: tuple[Ref, ...], champion: Ref) -> tuple[Ref, ...]:
    """`champion` is the latest one; each bundle occurs once, and the oldest are dropped."""
    return (*(one for one in former if one != champion), champion)[-MAX_FORMER:]


def _without(now: Generation, champion: Ref) -> tuple[Challenger, ...]:
    return tuple(one for one in now.challengers if one.bundle != champion)
