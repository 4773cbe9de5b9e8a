"""Everything that a service has decided, by unit, whichever bundle it was: what a test before an experiment
reads."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.scores import FloatArray
from monitoring.delivery.log_reader import LogReader
from monitoring.errors import MonitoringError
from monitoring.events import CONTROL, SHADOW_MARK, Event, PredictionEvent
from monitoring.experiments.arms import ArmSums

CHALLENGER: Final = "challenger"
SLICES: Final = 40
"""Pieces of equally many events that a log is cut into, so that it can be read step by step"""
_READ: Final = "log"
"""Name of the experiment that a whole log is read as"""


class TooFewUnits(MonitoringError):
    """The event log has too few units to compute with."""


@dataclass(frozen=True, slots=True)
class UnitLog:
    """All that a service has decided, by unit and slice of time, whichever bundle it was."""

    table: ArmTable
    """All of its rows are of the control; its strata are the slices."""

    @property
    def first_at(self) -> FloatArray:
        """[U], Unix time at which each unit was seen first, in ascending order."""
        found = np.full(int(self.table.unit.max(initial=-1)) + 1, np.inf)
        np.minimum.at(found, self.table.unit, self.table.first_at)
        return np.sort(found[np.isfinite(found)])

    @property
    def days(self) -> float:
        """Time that the log covers."""
        return float(np.ptp(self.table.first_at)) / 86_400.0 if len(self.table) else 0.0


def in_order(readers: Sequence[LogReader]) -> Iterator[Event]:
    """All events by their times."""
    return heapq.merge(*(reader.events() for reader in readers), key=attrgetter("at"))


def read_units(readers: Sequence[LogReader], slices: int = SLICES) -> UnitLog:
    """Every request of the logs, without those that shadows saw, as if one arm had decided it.

    Raises TooFewUnits.
    """
    total = max(1, sum(reader.count() for reader in readers))
    sums = ArmSums(_READ, float("inf"))
    sums.know((CONTROL, CHALLENGER))
    sums.add(_as_control(in_order(readers), total, slices))
    shares = np.full((slices, 2), 0.5)
    table = sums.rows.columns().table((CONTROL, CHALLENGER), shares)
    if table is None:
        raise TooFewUnits("the event log holds no prediction; let the service answer requests first")
    return UnitLog(table)


def _as_control(events: Iterator[Event], total: int, slices: int) -> Iterator[Event]:
    for number, event in enumerate(events):
        if not isinstance(event, PredictionEvent):
            yield event
        elif SHADOW_MARK not in event.request_id:
            place = min(slices - 1, number * slices // total)
            yield replace(event, experiment=_READ, arm=CONTROL, stratum=place)
