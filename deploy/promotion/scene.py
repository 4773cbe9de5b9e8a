"""Scene of a promotion: the fleet as its promoter sees it, through the registry and the store alone.

What a look finds is an observation. A store or a registry that does not answer leaves a fault in it, which is
never a pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bundle.registry.errors import RegistryError
from bundle.registry.generation import Generation
from bundle.registry.registry import Registry
from deploy.promotion.events import Event, unseen
from deploy.promotion.offline_step import OfflineGates
from deploy.promotion.served_fleet import ServedFleet
from deploy.report.writing import write_report
from monitoring.errors import MonitoringError
from monitoring.fleet.report import ServiceReport

LOOK_EVERY: Final = 1.0
"""Seconds between two looks, at most"""
OLD_VIEW: Final = 60.0
"""Seconds without a newer view of an experiment after which the last one says nothing any more"""


class Views(Protocol):
    """What the services have counted together; `monitoring.experiments.shared_view.SharedViews`."""

    def newest(self, name: str) -> Mapping[str, Any] | None:
        """The last view of an experiment: `ExperimentView.to_values`, with its `age` in seconds."""


class Report(Protocol):
    """Writes the report of a promotion; `deploy.report.writing.write_report`."""

    def __call__(self, registry: Registry, fleet: str, generation: Generation, /) -> str:
        """The address of the report of the promotion in `generation`."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a fleet."""

    generation: Generation
    """The newest record that could be read"""
    reports: tuple[ServiceReport, ...] = ()
    view: Mapping[str, Any] | None = None
    """Of the promotion's experiment; None: there is none, or it is too old to say anything"""
    fault: str | None = None
    """What could not be seen"""


@dataclass(slots=True)
class Scene(ServedFleet):
    """One fleet, with all that a promotion needs."""

    views: Views | None = None
    gates: OfflineGates = field(default_factory=OfflineGates)
    report: Report = write_report
    on: Callable[[Event], None] = unseen
    """Told of each event"""
    steady: Callable[[], float] = time.monotonic
    """Seconds that no clock setting moves"""
    sleep: Callable[[float], None] = time.sleep

    def look(self, known: Generation, experiment: str | None = None) -> Sight:
        """The fleet now. `known`: a record that has been read, after which newer ones are looked for."""
        newest = known
        try:
            while (later := self.log.after(newest.number)) is not None:
                newest = later
        except RegistryError as error:
            return Sight(newest, fault=f"the registry: {error}")
        try:
            reports = () if self.reports is None else tuple(self.reports.all())
            view = None if experiment is None else self._view(experiment)
        except MonitoringError as error:
            return Sight(newest, fault=f"the store: {error}")
        return Sight(newest, reports, view)

    def _view(self, experiment: str) -> Mapping[str, Any] | None:
        """The view, unless it is old by the store's clock."""
        view = None if self.views is None else self.views.newest(experiment)
        if view is None:
            return None
        age = view.get("age")
        return view if isinstance(age, int | float) and age <= OLD_VIEW else None
