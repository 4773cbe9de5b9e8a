"""`demur fleet`: what the record of a fleet says, and what each of its services says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from demur.commands.fleet_place import FleetPlace
from demur.output import printable, write_json
from monitoring.fleet.reports import FleetReports
from monitoring.store.contract import StoreUnavailable
from service.admin.fleet_values import fleet_values

_NO_STORE = "no store is named, so no service is seen; give --store URL, or set DEMUR_REDIS_URL"


def show_fleet(place: FleetPlace, *, as_json: bool) -> None:
    """Print the fleet. Raises a RegistryError."""
    found = seen_fleet(place)
    if as_json:
        write_json(found)
        return
    for line in fleet_lines(found):
        print(printable(line))


def seen_fleet(place: FleetPlace) -> dict[str, Any]:
    """The fleet, as `GET /fleet` of the private port shows it. Raises a RegistryError."""
    name = place.name
    newest = place.registry.fleet(name).newest()
    reports, unseen = [], None if place.store else _NO_STORE
    if place.store is not None:
        try:
            with FleetReports(place.store, name) as all_reports:
                reports = all_reports.all()
        except StoreUnavailable as error:
            unseen = f"the services cannot be seen: {error}"
    return fleet_values(name, place.registry.address, newest, reports, unseen)


def fleet_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a fleet."""
    if found["generation"] is None:
        yield f"{found['fleet']} in {found['registry']}: nothing serves yet; `demur promote BUNDLE` begins"
    else:
        yield f"{found['fleet']} in {found['registry']}, generation {found['generation']}"
        yield from _record(found)
    if found["unseen"]:
        yield f"  services    {found['unseen']}"
    elif not found["services"]:
        yield "  services    none has reported within ten seconds"
    for one in found["services"]:
        yield f"  {one['service']}"
        yield f"              {_state(one)}"


def moment(at: float) -> str:
    """A time of day for people: `2026-12-01 16:40:05 UTC`."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{at:.0f}"


def named(ref: Mapping[str, Any] | None) -> str:
    """A bundle for people: `road:0123456789abcdef (1a2b3c4d)`."""
    return "none" if ref is None else f"{ref['label']} ({ref['digest'][:8]})"


def _record(found: Mapping[str, Any]) -> Iterator[str]:
    changed = found["changed"]
    yield f"  champion    {named(found['champion'])}"
    yield f"  previous    {named(found['previous'])}"
    for one in found["challengers"]:
        share = "shadow" if one["shadow"] else f"{100 * one['share']:.4g} % of the units"
        yield f"  challenger  {one['name']}: {named(one['bundle'])}, {share}"
    if found["next"] is not None:
        yield f"  preparing   {named(found['next'])}"
    if found["experiment"] is not None:
        yield f"  experiment  {found['experiment']}"
    if found["promotion"] is not None:
        yield f"  promotion   {_promotion(found['promotion'])}"
    why = f": {changed['reason']}" if changed["reason"] else ""
    yield f"  changed     {moment(changed['at'])} by {changed['by']}{why}"


def _promotion(state: Mapping[str, Any]) -> str:
    text = f"{state['id']} of {named(state['newcomer'])}: {state['phase']}"
    if state["running"]:
        return f"{text}, step {state['step'] + 1}; `demur promotion status`"
    return text if state["why"] is None else f"{text}: {state['why']}"


def _state(one: Mapping[str, Any]) -> str:
    behind = f", {one['behind']} behind" if one["behind"] else ""
    parts = [f"generation {one['generation']}{behind}", one["champion_label"] or "nothing serves"]
    if one["prepared"] is not None:
        parts.append(f"prepared for generation {one['prepared']}")
    if one["stale"]:
        parts.append("stale: the registry does not answer it")
    if one["fault"]:
        parts.append(f"fault: {one['fault']}")
    return "; ".join(parts)
