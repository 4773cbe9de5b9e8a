"""Instruments of the running experiment, in the parent process; every worker exports them."""

from __future__ import annotations

import math

import prometheus_client
from prometheus_client import CollectorRegistry

from monitoring.experiments.view import ExperimentView
from monitoring.metrics import names


class ExperimentInstruments:
    """Gauges of one look at a time; one set per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._units = self._gauge(names.EXPERIMENT_UNITS)
        self._ratio = self._gauge(names.EXPERIMENT_SAMPLE_RATIO)
        self._differences = {
            "difference": self._gauge(names.EXPERIMENT_DIFFERENCE),
            "low": self._gauge(names.EXPERIMENT_DIFFERENCE_LOW),
            "high": self._gauge(names.EXPERIMENT_DIFFERENCE_HIGH),
        }
        spec = names.EXPERIMENT_WITHDRAWALS
        self.withdrawals = prometheus_client.Counter(
            spec.name, spec.help, spec.labels, registry=self.registry
        )

    def show(self, view: ExperimentView) -> None:
        """Set the gauges."""
        name = view.definition.name
        for arm, units in view.units.items():
            self._units.labels(name, arm).set(units)
        self._ratio.labels(name).set(1.0 if view.ratio is None else view.ratio.highest)
        for one in view.figures:
            for end, gauge in self._differences.items():
                value = getattr(one, end)
                gauge.labels(name, one.arm, one.metric).set(math.nan if value is None else value)

    def _gauge(self, spec: names.Gauge) -> prometheus_client.Gauge:
        return prometheus_client.Gauge(
            spec.name, spec.help, spec.labels, registry=self.registry, multiprocess_mode="livemostrecent"
        )
