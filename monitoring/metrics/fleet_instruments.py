"""Instruments of a followed fleet, in the parent process; every worker exports them."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry

from monitoring.metrics import names


class FleetInstruments:
    """Gauges of one service's place in its fleet; one set per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._generation = self._gauge(names.CHAMPION_GENERATION)
        self._stale = self._gauge(names.FLEET_STALE)

    def show(self, fleet: str, generation: int, *, stale: bool) -> None:
        """Set the gauges."""
        self._generation.labels(fleet).set(generation)
        self._stale.labels(fleet).set(stale)

    def _gauge(self, spec: names.Gauge) -> prometheus_client.Gauge:
        return prometheus_client.Gauge(
            spec.name, spec.help, spec.labels, registry=self.registry, multiprocess_mode="livemostrecent"
        )
