"""Instrument of the promotion of a followed fleet, in the parent process; every worker exports it."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry

from monitoring.metrics import names


class PromotionInstruments:
    """The phase of the promotion in the record that was read last; one set per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        spec = names.PROMOTION_PHASE
        self._phase = prometheus_client.Gauge(
            spec.name, spec.help, spec.labels, registry=self.registry, multiprocess_mode="livemostrecent"
        )
        self._shown: set[tuple[str, str]] = set()

    def show(self, fleet: str, phase: str | None) -> None:
        """Set the gauges. `phase`: of the running promotion, or of the last one; None: there was none."""
        for before in self._shown:
            self._phase.labels(*before).set(0)
        if phase is not None:
            self._phase.labels(fleet, phase).set(1)
            self._shown.add((fleet, phase))
