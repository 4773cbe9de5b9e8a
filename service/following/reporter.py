"""Reporter: what this service says of itself to its fleet, through the store, and how it hears of changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from monitoring.fleet.report import ServiceReport
from monitoring.fleet.reports import FleetReports
from monitoring.fleet.wake import FleetWake
from monitoring.store.contract import StoreUnavailable
from service.following.position import Position
from service.lineup.fleet import Fleet

INTERVAL: Final = 1.0
"""Seconds between two reports"""

logger = structlog.get_logger("demur.following")


class Reporter:
    """Two threads: one reports, one listens. Neither is needed to follow, and neither delays it."""

    def __init__(
        self,
        url: str,
        service: str,
        position: Position,
        fleet: Fleet,
        on_wake: Callable[[], None],
        timeout: float = 1.0,
    ) -> None:
        """`url`: of the store; `service`: its name; `on_wake`: the registry has changed; `timeout`: seconds
        per command of the store."""
        self._url, self._service, self._timeout = url, service, timeout
        self._position, self._fleet, self._on_wake = position, fleet, on_wake
        self.admin_url: str | None = None
        """Address of the private port, as the reports say it"""
        self._due, self._stopping = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._report_all_the_time, "reporter"), (self._listen, "fleet-wake"))
        ]

    def start(self, admin_url: str | None) -> None:
        self.admin_url = admin_url
        for thread in self._threads:
            thread.start()

    def report_now(self) -> None:
        """Something has changed; from any thread."""
        self._due.set()

    def close(self) -> None:
        """End the threads, and let the fleet know that this service reports no more."""
        self._stopping.set()
        self._due.set()
        if self._threads[0].ident is None:
            return
        self._threads[0].join(2 * self._timeout)
        try:
            with FleetReports(self._url, self._position.fleet, self._timeout) as reports:
                reports.forget(self._service)
        except StoreUnavailable as error:
            logger.info("report_not_withdrawn", why=str(error))

    def report(self) -> ServiceReport:
        """What the service says now."""
        position, plan = self._position, self._fleet.plan
        troubles, served = position.troubles, position.served
        # Both of one record: while the workers swap, the one before.
        champion = served.champion
        return ServiceReport(
            self._service,
            time.time(),
            served.number,
            "" if champion is None else champion.digest,
            "" if champion is None else champion.label,
            tuple(folder.name for folder in plan.folders()),
            position.prepared,
            troubles.fault,
            stale=troubles.stale,
            workers=len(self._fleet.workers),
            admin_url=self.admin_url,
        )

    def _report_all_the_time(self) -> None:
        reports: FleetReports | None = None
        while not self._stopping.is_set():
            self._due.clear()
            try:
                reports = reports or FleetReports(self._url, self._position.fleet, self._timeout)
                reports.report(self.report())
                self._position.has_trouble(store=None)
            except StoreUnavailable as error:
                self._position.has_trouble(
                    store=f"the store does not take the reports of this service: {error}"
                )
            self._due.wait(INTERVAL)
        if reports is not None:
            reports.close()

    def _listen(self) -> None:
        wake: FleetWake | None = None
        while not self._stopping.is_set():
            try:
                wake = wake or FleetWake(self._url, self._position.fleet, self._timeout)
                if wake.wait(INTERVAL):
                    self._on_wake()
            except StoreUnavailable:
                # The thread beside this one says so; the registry is asked every second anyway.
                self._stopping.wait(INTERVAL)
        if wake is not None:
            wake.close()
