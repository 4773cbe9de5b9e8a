"""Collection of bundles that nothing needs any more, after a plan that says of each why it goes or stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bundle.registry import keys
from bundle.registry.fleet_log import FleetLog
from bundle.registry.holds import Holds, held_by_fleet, held_by_services, note_present
from bundle.registry.location import Exists, Location, Missing
from bundle.registry.records import MAX_RECORD_BYTES
from bundle.registry.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Collectable:
    """A bundle, or what a push has left of one, and why it goes or stays."""

    digest: str
    label: str
    """`name:version`; without a readable record, what is known of it"""
    size: int
    """Bytes"""
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """What goes and what stays."""

    goes: tuple[Collectable, ...]
    stays: tuple[Collectable, ...]


@dataclass(frozen=True, slots=True)
class Sparing:
    """What a collection spares, besides what the fleets serve now."""

    history: float
    """Bundles that served within the last so many seconds stay."""
    pushed: float
    """Bundles that were pushed within the last so many seconds stay; they may be about to be promoted."""
    services: Mapping[str, Iterable[str]]
    """Name of each running service -> digests that it has open"""


def plan_collection(
    location: Location, shelf: Shelf, fleets: Sequence[FleetLog], sparing: Sparing, now: float
) -> Collection:
    """What would go now (Unix time, seconds). Nothing is deleted.

    Raises a RegistryError if a record of a fleet cannot be read, since what it names must stay.
    """
    holds = Holds()
    for fleet in fleets:
        held_by_fleet(holds, fleet, now - sparing.history)
    held_by_services(holds, sparing.services)
    found = [*_whole(shelf, now, sparing.pushed), *_left_over(location, shelf, now, sparing.pushed)]
    found = [replace(one, why=(*holds.of(one.digest), *one.why)) for one in found]
    goes = tuple(replace(one, why=("nothing holds it",)) for one in found if not one.why)
    return Collection(goes, tuple(one for one in found if one.why))


def collect(location: Location, fleets: Sequence[FleetLog], planned: Collection) -> Collection:
    """Delete what `planned` says. What a fleet has taken up meanwhile stays, and is said in the result.

    The record of a bundle goes first: from then on nobody can promote it, and whoever has done so just before
    is seen in the records of the fleets, which are read after that.
    """
    goes, stays = [], list(planned.stays)
    for one in planned.goes:
        key = keys.bundle_record(one.digest)
        record = None
        with suppress(Missing):
            record = location.read(key, MAX_RECORD_BYTES)
        location.delete(key)
        if taken := _taken_up(fleets, one.digest):
            if record is not None:
                with suppress(Exists):
                    location.create(key, record)
            stays.append(replace(one, why=taken))
            continue
        for stored in location.objects(keys.bundle_prefix(one.digest)):
            location.delete(stored.key)
        goes.append(one)
    return Collection(tuple(goes), tuple(stays))


def _taken_up(fleets: Sequence[FleetLog], digest: str) -> tuple[str, ...]:
    holds = Holds()
    for fleet in fleets:
        if (newest := fleet.newest()) is not None:
            note_present(holds, fleet.name, newest)
    return holds.of(digest)


def _whole(shelf: Shelf, now: float, pushed: float) -> list[Collectable]:
    return [
        Collectable(one.digest, one.ref.label, one.size, _young("pushed", now - one.at, pushed))
        for one in shelf.records
    ]


def _left_over(location: Location, shelf: Shelf, now: float, pushed: float) -> list[Collectable]:
    """What has no record that can be read: of a later version, or of a push that was broken off."""
    found = []
    for digest, why in shelf.unreadable.items():
        size = sum(one.size for one in location.objects(keys.bundle_prefix(digest)))
        found.append(Collectable(digest, "unreadable", size, (why,)))
    for digest in shelf.unfinished:
        objects = location.objects(keys.bundle_prefix(digest))
        age = now - max((one.modified for one in objects), default=0.0)
        size = sum(one.size for one in objects)
        found.append(Collectable(digest, "unfinished push", size, _young("written", age, pushed)))
    return found


def _young(what: str, age: float, limit: float) -> tuple[str, ...]:
    if age >= limit:
        return ()
    hours = max(age, 0.0) / 3600
    return (f"{what} {hours:.0f} h ago, and what is younger than {limit / 3600:g} h stays",)
