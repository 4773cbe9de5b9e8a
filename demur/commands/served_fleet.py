"""The fleet that a verb changes: its records, the reports of its services, and the call to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from demur.commands.fleet_place import FleetPlace, StoreUnusable
from deploy.promotion.served_fleet import ServedFleet
from monitoring.fleet.reports import FleetReports
from monitoring.fleet.wake import FleetWake
from monitoring.store.contract import StoreUnavailable
from monitoring.store.shared_document import shown


@contextmanager
def served_fleet(place: FleetPlace) -> Iterator[ServedFleet]:
    """The fleet of a place. Raises StoreUnusable, and a RegistryError."""
    name = place.name
    if place.store is None:
        yield ServedFleet(place.registry, name)
        return
    with (
        named_store(place.store),
        FleetReports(place.store, name) as reports,
        FleetWake(place.store, name) as wake,
    ):
        yield ServedFleet(place.registry, name, reports, wake)


@contextmanager
def named_store(url: str) -> Iterator[None]:
    """Raise StoreUnusable for what fails inside because of the store."""
    try:
        yield
    except StoreUnavailable as error:
        raise StoreUnusable(
            f"the store {shown(url)} (--store, DEMUR_REDIS_URL) cannot be used: {error}; look whether it "
            "runs and whether this is its address"
        ) from error
