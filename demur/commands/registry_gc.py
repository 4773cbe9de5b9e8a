"""`demur registry gc`: deletes bundles that nothing needs, and says of each other one why it stays."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

from bundle.registry.collect import Collectable, Collection, Sparing
from demur.commands.fleet_place import FleetPlace
from demur.commands.registry_progress import size_text
from demur.errors import InterfaceError
from demur.output import print_warning, printable, write_json

_UNASKED = "which bundles the running services have open was not asked, since no store is named"


class ServicesNotAsked(InterfaceError, ValueError):
    """Nothing says which bundles the running services have open."""


@dataclass(frozen=True, slots=True)
class GcOptions:
    """What was given on the command line."""

    keep_history: float
    """Days"""
    keep_pushed: float
    """Hours"""
    dry_run: bool
    without_services: bool


def collect_and_tell(place: FleetPlace, options: GcOptions, *, as_json: bool) -> None:
    """Collect, and say what goes and what stays.

    Raises ServicesNotAsked, a RegistryError and StoreUnavailable.
    """
    registry = place.registry
    services = {} if options.without_services else _services(place, dry_run=options.dry_run)
    asked = services is not None and not options.without_services
    sparing = Sparing(options.keep_history * 86_400, options.keep_pushed * 3600, services or {})
    found = registry.collection(sparing, time.time())
    if not options.dry_run:
        found = registry.collect(found)
    if as_json:
        values = {"goes": [asdict(one) for one in found.goes], "stays": [asdict(one) for one in found.stays]}
        write_json(
            {
                "registry": registry.address,
                "dry_run": options.dry_run,
                "services_asked": asked,
                "freed_bytes": sum(one.size for one in found.goes),
                **values,
            }
        )
        return
    _tell(found, options.dry_run)
    if not asked:
        print_warning(f"Note: {_UNASKED}.")


def _services(place: FleetPlace, *, dry_run: bool) -> Mapping[str, Iterable[str]] | None:
    """Service -> digests that it has open, of every fleet; None if a dry run has no store to ask."""
    if place.store is None:
        if dry_run:
            return None
        raise ServicesNotAsked(
            f"{_UNASKED}; nothing was deleted. Name the store with --store or DEMUR_REDIS_URL, or say "
            "--without-services if no service of this registry runs"
        )
    from monitoring.fleet.reports import FleetReports

    found: dict[str, list[str]] = {}
    for fleet in place.registry.fleets():
        with closing(FleetReports(place.store, fleet, timeout=5.0)) as reports:
            found |= {f"{one.service} of {fleet}": [one.champion, *one.opened] for one in reports.all()}
    return found


def _tell(found: Collection, dry_run: bool) -> None:
    for line in _lines("would go" if dry_run else "gone", found.goes):
        print(line)
    for line in _lines("stays", found.stays):
        print(line)
    size = size_text(sum(one.size for one in found.goes))
    freed = "would be freed" if dry_run else "freed"
    print(f"{len(found.goes)} of {len(found.goes) + len(found.stays)} bundles, {size} {freed}")


def _lines(what: str, found: Sequence[Collectable]) -> list[str]:
    return [
        f"{what}: {one.label} ({one.digest[:12]}, {size_text(one.size)}): {printable('; '.join(one.why))}"
        for one in found
    ]
