"""Plans of a line-up with other challengers: what a change would serve, before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from service.errors import ChangeRefused
from service.lineup.lineup import LineupPlan
from service.settings import MAX_CHALLENGERS, ChallengerSettings


def with_challenger(plan: LineupPlan, challenger: ChallengerSettings) -> LineupPlan:
    """The plan with a challenger, or with another share of one. Raises ChangeRefused."""
    by_folder = {one.folder: one for one in plan.challengers}
    by_folder[challenger.folder] = challenger
    if challenger.folder == plan.champion:
        raise ChangeRefused("it is the champion already")
    if len(by_folder) > MAX_CHALLENGERS:
        raise ChangeRefused(f"at most {MAX_CHALLENGERS} challengers may serve at a time")
    total = sum(one.share or 0.0 for one in by_folder.values())
    if total > 1 + 1e-9:
        raise ChangeRefused(f"the shares would be {total:g} in sum; they must be at most 1")
    return replace(plan, challengers=tuple(by_folder.values()))


def without_challenger(plan: LineupPlan, folder: Path) -> LineupPlan:
    """The plan without a challenger. Raises KeyError if it is none."""
    rest = tuple(one for one in plan.challengers if one.folder != folder)
    if len(rest) == len(plan.challengers):
        raise KeyError(folder)
    return replace(plan, challengers=rest)
