"""`demur promotion status, approve and abort`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from bundle.registry.generation import Generation
from demur.commands.fleet import moment, named, seen_fleet
from demur.commands.fleet_place import FleetPlace
from demur.commands.fleet_scene import opened_scene
from demur.commands.promotion_progress import gate_line
from demur.commands.served_fleet import served_fleet
from demur.output import printable, write_json
from deploy.promotion.decisions import abort, approve
from deploy.promotion.status import Status, status
from service.admin.fleet_values import promotion_values

ROLLED_BACK: Final = 3
"""Exit code"""
_LOOK: Final = 1.0


def show_status(place: FleetPlace, *, watch: bool, as_json: bool) -> bool:
    """Print the promotion, running or last; `watch`: until it has ended. Whether it was not rolled back.
    Raises a RegistryError."""
    shown: list[str] = []
    with opened_scene(place) as scene:
        while True:
            found = status(scene)
            lines = list(status_lines(scene.fleet, found))
            if not as_json and lines != shown:
                print(printable("\n".join(lines)), flush=True)
                shown = lines
            if not watch or found is None or not found.runs:
                break
            time.sleep(_LOOK)
    if as_json:
        write_json(_values(scene.fleet, found))
    return found is None or found.promotion is None or found.promotion.phase != "rolled-back"


def approve_and_tell(place: FleetPlace, by: str, comment: str, *, as_json: bool) -> None:
    """Approve, and print it. Raises NoSuchPromotion, and other RegistryErrors."""
    with served_fleet(place) as fleet:
        now = approve(fleet, by, comment)
    _tell(place, now, "is approved and goes on", as_json=as_json)


def abort_and_tell(place: FleetPlace, by: str, reason: str, *, as_json: bool) -> None:
    """End the promotion, and print it. Raises NoSuchPromotion, and other RegistryErrors."""
    with served_fleet(place) as fleet:
        now = abort(fleet, by, reason)
    champion = "nothing serves yet" if now.champion is None else f"{now.champion.label} serves"
    _tell(place, now, f"has ended; {champion}", as_json=as_json)


def status_lines(fleet: str, found: Status | None) -> Iterator[str]:
    """The lines of a status."""
    state = None if found is None else found.promotion
    if found is None or state is None:
        yield f"{fleet} has had no promotion since its last change; begin one with `demur promote BUNDLE`"
        return
    why = f": {state.started.reason}" if state.started.reason else ""
    newcomer = named(asdict(state.newcomer))
    yield f"{fleet}, generation {found.generation.number}: promotion {state.id} of {newcomer}"
    yield f"  begun       {moment(state.started.at)} by {state.started.by}{why}"
    until = "" if found.until is None else f"; a rollback from {moment(found.until)} on"
    step = f", step {state.step + 1}" if found.runs and state.phase == "canary" else ""
    yield f"  phase       {state.phase}{step}, since {moment(state.since)}{until}"
    if state.why is not None:
        yield f"  why         {state.why}"
    if state.approval is not None:
        yield f"  approved    by {state.approval.by}: {state.approval.comment}"
    if found.waits_for is not None:
        yield f"  waits for   {found.waits_for}"
    if found.fault is not None:
        yield f"  not seen    {found.fault}"
    for one in state.results:
        yield _result(one)
    if found.runs:
        yield f"  promoter    {state.holder} (term {state.term}); `demur promote --resume` if it has died"


def _result(one: Mapping[str, Any]) -> str:
    return gate_line(
        *(str(one.get("gate")), str(one.get("outcome")), one.get("figure"), one.get("limit")),
        str(one.get("text", "")),
    )


def _values(fleet: str, found: Status | None) -> dict[str, Any]:
    if found is None:
        return {"fleet": fleet, "generation": None, "promotion": None, "waits_for": None, "fault": None}
    return {
        "fleet": fleet,
        "generation": found.generation.number,
        "promotion": promotion_values(found.promotion),
        "waits_for": found.waits_for,
        "until": found.until,
        "services": [one.service for one in found.reports],
        "fault": found.fault,
    }


def _tell(place: FleetPlace, now: Generation, what: str, *, as_json: bool) -> None:
    if as_json:
        write_json(seen_fleet(place))
        return
    state = now.promotion
    print(printable(f"promotion {'' if state is None else state.id} {what} (generation {now.number})"))
