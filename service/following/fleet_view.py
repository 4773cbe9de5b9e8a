"""Followed fleet: what the private port reads of the fleet, and by which it changes what the fleet serves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from bundle.registry.fleet_log import FleetLog
from bundle.registry.generation import Generation, Ref
from bundle.registry.registry import Registry
from monitoring.fleet.report import ServiceReport
from monitoring.fleet.reports import FleetReports
from monitoring.fleet.wake import FleetWake
from monitoring.store.contract import StoreUnavailable
from service.following.position import Position
from service.following.state import FleetState


class FollowedFleet:
    """The fleet that this service follows; used from any thread. What reads or writes the registry raises a
    RegistryError."""

    def __init__(
        self,
        registry: Registry,
        position: Position,
        store: str | None,
        nudge: Callable[[], None],
        timeout: float = 1.0,
    ) -> None:
        """`store`: address of the store, if there is one; `nudge`: let this service look at once; `timeout`:
        seconds per command of the store."""
        self.name = position.fleet
        self.address = registry.address
        """Address of the registry, without passwords"""
        self.log: FleetLog = registry.fleet(position.fleet)
        self._registry, self._position = registry, position
        self._store, self._nudge, self._timeout = store, nudge, timeout

    def state(self) -> FleetState:
        """What this service knows, without asking."""
        return self._position.state()

    def newest(self) -> Generation | None:
        """The newest record, asked for now."""
        return self.log.newest()

    def resolve(self, text: str) -> Ref:
        """The bundle that a person means. Raises BundleNotFound, which says what there is."""
        return self._registry.resolve(text, self.name)

    def change(self, build: Callable[[Generation | None], Generation]) -> Generation:
        """Write the record that `build` makes of the newest one, and wake every service of the fleet.

        Raises what `build` raises.
        """
        made = self.log.change(build)
        self.wake()
        return made

    def wake(self) -> None:
        """Let every service look at the registry now; without the store they do within a second."""
        self._nudge()
        if self._store is not None:
            with suppress(StoreUnavailable), FleetWake(self._store, self.name, self._timeout) as wake:
                wake.publish()

    def reports(self) -> list[ServiceReport]:
        """The services of the fleet that report. Raises StoreUnavailable (of `monitoring.store.contract`),
        also without a store."""
        if self._store is None:
            raise StoreUnavailable("this service runs without a store, so no service reports to another")
        with FleetReports(self._store, self.name, self._timeout) as reports:
            return reports.all()
