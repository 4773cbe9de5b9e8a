"""The fleet as a promoter sees it, for verbs: registry, reports of the services, and what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from demur.commands.fleet_place import FleetPlace
from demur.commands.promotion_test_set import open_test_set
from demur.commands.served_fleet import named_store
from deploy.promotion.events import Event, unseen
from deploy.promotion.offline_step import OfflineGates
from deploy.promotion.scene import Scene
from monitoring.experiments.shared_view import SharedViews
from monitoring.fleet.reports import FleetReports
from monitoring.fleet.wake import FleetWake


@contextmanager
def opened_scene(
    place: FleetPlace, on: Callable[[Event], None] = unseen, fleet: str | None = None
) -> Iterator[Scene]:
    """The scene of a fleet; `fleet`: its name, if the registry need not know it yet. Raises StoreUnusable,
    and a RegistryError."""
    name = fleet or place.name
    with ExitStack() as stack:
        scene = Scene(place.registry, name, gates=OfflineGates(open_test_set), on=on)
        if place.store is not None:
            stack.enter_context(named_store(place.store))
            scene.reports = stack.enter_context(FleetReports(place.store, name))
            scene.views = stack.enter_context(closing(SharedViews(place.store, name)))
            scene.wake = stack.enter_context(FleetWake(place.store, name))
        yield scene
