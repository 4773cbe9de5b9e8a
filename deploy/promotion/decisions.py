"""Decisions of a person about the promotion that runs: yes, or no more. Each is one record."""

from __future__ import annotations

from bundle.registry import promotions
from bundle.registry.generation import Approval, Change, Generation
from deploy.promotion.reasons import one_line
from deploy.promotion.served_fleet import ServedFleet


def approve(fleet: ServedFleet, by: str, comment: str) -> Generation:
    """Say yes to the promotion that waits for it. Raises NoSuchPromotion, and a RegistryError."""
    at = fleet.clock()
    approval = Approval(at, by, one_line(comment))

    def build(now: Generation | None) -> Generation:
        return promotions.approved(now, approval, _change(at, by, f"approved: {comment}", now))

    return fleet.log.change(build)


def abort(fleet: ServedFleet, by: str, reason: str) -> Generation:
    """End the promotion that runs, and undo what it has done. Raises NoSuchPromotion, and a RegistryError."""
    at = fleet.clock()
    generation = fleet.log.change(lambda now: promotions.aborted(now, _change(at, by, reason, now)))
    fleet.call()
    return generation


def _change(at: float, by: str, reason: str, now: Generation | None) -> Change:
    state = promotions.running(now)
    return Change(at, by, one_line(reason), None if state is None else state.id)
