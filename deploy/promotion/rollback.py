"""Rollback by a person: one record and a call to the services; at any time, and without a lease.

It ends a promotion that runs. Before the newcomer is the champion this alone is what it does; afterwards, and
without a promotion, the champion before this one serves again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bundle.registry import promotions
from bundle.registry.errors import NothingToRollBack
from bundle.registry.generation import Change, Generation, Ref
from deploy.promotion.reasons import one_line
from deploy.promotion.served_fleet import ServedFleet


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback has done."""

    generation: Generation
    """The record with it"""
    left: Ref | None
    """The bundle that serves no more, or has left the challengers"""
    ended: str | None
    """The promotion that it has ended"""
    passed_over: tuple[Ref, ...] = ()
    """Former champions that are not in the registry any more"""


def roll_back(fleet: ServedFleet, by: str, reason: str) -> RolledBack:
    """Go back. Raises NothingToRollBack, and a RegistryError."""
    seen: list[tuple[Generation, tuple[Ref, ...]]] = []

    def build(now: Generation | None) -> Generation:
        kept, gone = _with_bundles(fleet, now)
        change = Change(fleet.clock(), by, one_line(reason))
        if gone and (kept is None or not kept.former) and promotions.running(kept) is None:
            raise NothingToRollBack(
                f"no former champion of fleet {fleet.fleet} is in the registry any more ({_labels(gone)}); "
                "push one again with `demur registry push FOLDER`, or make another bundle the champion with "
                "`demur promote`"
            )
        back = promotions.sent_back(kept, change)
        if kept is not None:
            seen.append((kept, gone))
        return back

    generation = fleet.log.change(build)
    fleet.call()
    before, gone = seen[-1]
    running = promotions.running(before)
    left = before.champion if running is None else running.newcomer
    return RolledBack(generation, left, None if running is None else running.id, gone)


def _with_bundles(fleet: ServedFleet, now: Generation | None) -> tuple[Generation | None, tuple[Ref, ...]]:
    """`now`, whose latest former champion is in the registry, and those after it that are not."""
    if now is None:
        return None, ()
    former: tuple[Ref, ...] = now.former
    gone: tuple[Ref, ...] = ()
    while former and not fleet.registry.has(former[-1].digest):
        former, gone = former[:-1], (former[-1], *gone)
    return replace(now, former=former), gone


def _labels(bundles: tuple[Ref, ...]) -> str:
    return ", ".join(one.label for one in bundles)
