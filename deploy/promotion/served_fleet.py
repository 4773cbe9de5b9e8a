"""Fleet that serves, as a person changes it: its records, what its services report, and the call to them.

No gate and no report is imported here: a rollback must not wait for what only a promotion needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from bundle.registry.fleet_log import FleetLog
from bundle.registry.registry import Registry
from monitoring.fleet.report import ServiceReport
from monitoring.store.contract import StoreUnavailable


class Reports(Protocol):
    """What the services say of themselves; `monitoring.fleet.reports.FleetReports`."""

    def all(self) -> list[ServiceReport]:
        """The reports of the last seconds."""


class Wake(Protocol):
    """The call to the services to look at the registry; `monitoring.fleet.wake.FleetWake`."""

    def publish(self) -> None:
        """Call."""


@dataclass(slots=True)
class ServedFleet:
    """One fleet. Used from one thread."""

    registry: Registry
    fleet: str
    reports: Reports | None = None
    """None: there is no store, so no service is seen"""
    wake: Wake | None = None
    clock: Callable[[], float] = time.time
    """Unix time, seconds"""

    @property
    def log(self) -> FleetLog:
        """The records of the fleet."""
        return self.registry.fleet(self.fleet)

    def call(self) -> None:
        """Let the services look at the registry at once; they do so within a second anyway."""
        if self.wake is not None:
            with suppress(StoreUnavailable):
                self.wake.publish()
