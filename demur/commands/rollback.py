"""`demur rollback`: one record, and the wait until every service serves it."""

from __future__ import annotations

import time
from typing import Any, Final

from demur.commands.fleet_place import FleetPlace
from demur.commands.served_fleet import served_fleet
from demur.output import printable, write_json
from deploy.promotion.rollback import RolledBack, roll_back
from deploy.promotion.served_fleet import ServedFleet
from monitoring.fleet.report import ServiceReport
from monitoring.store.contract import StoreUnavailable

_PATIENCE: Final = 30.0
"""Seconds for the services to serve the record"""
_LOOK: Final = 0.05


def roll_back_and_tell(place: FleetPlace, by: str, reason: str, *, as_json: bool) -> bool:
    """Go back, and print it; whether every service that reports serves it. Raises NothingToRollBack, and
    other RegistryErrors."""
    began = time.monotonic()
    with served_fleet(place) as fleet:
        done = roll_back(fleet, by, reason)
        if not as_json:
            print(printable(_sentence(fleet.fleet, done)), flush=True)
        late, services, unseen = _waited(fleet, done)
        seconds = time.monotonic() - began
    if as_json:
        write_json(_values(done, late, services, unseen) | {"fleet": fleet.fleet, "seconds": seconds})
    elif unseen is not None:
        print(printable(unseen))
    elif late:
        print(f"{services - len(late)} of {services} services serve it after {seconds:.0f} s:")
        for one in late:
            print(printable(f"  {one.service}: {one.fault or f'generation {one.generation}'}"))
    else:
        print(f"{services} of {services} services serve it after {seconds:.1f} s.")
    return not late


def _sentence(fleet: str, done: RolledBack) -> str:
    champion = done.generation.champion
    serves = "nothing" if champion is None else champion.label
    left = "" if done.left is None else f"; {done.left.label} has left"
    ended = "" if done.ended is None else f", and the promotion {done.ended} has ended"
    over = "".join(f"; {one.label} is not in the registry and was passed over" for one in done.passed_over)
    return f"{fleet}: {serves} serves (generation {done.generation.number}){left}{ended}{over}."


def _waited(fleet: ServedFleet, done: RolledBack) -> tuple[list[ServiceReport], int, str | None]:
    """(services that do not serve it yet, number of services, why none is seen)."""
    if fleet.reports is None:
        return [], 0, "No store is named, so the services are not seen; they adopt it within a second."
    champion, due = done.generation.champion, time.monotonic() + _PATIENCE
    while True:
        try:
            reports = fleet.reports.all()
        except StoreUnavailable as error:
            return [], 0, f"The services cannot be seen: {error}; they adopt it within a second."
        late = [
            one
            for one in reports
            if one.generation < done.generation.number
            or (champion is not None and one.champion != champion.digest)
        ]
        if not late or time.monotonic() > due:
            return late, len(reports), None
        time.sleep(_LOOK)


def _values(done: RolledBack, late: list[ServiceReport], services: int, unseen: str | None) -> dict[str, Any]:
    champion = done.generation.champion
    return {
        "generation": done.generation.number,
        "champion": None if champion is None else champion.label,
        "left": None if done.left is None else done.left.label,
        "ended": done.ended,
        "services": services,
        "late": [one.service for one in late],
        "unseen": unseen,
    }
