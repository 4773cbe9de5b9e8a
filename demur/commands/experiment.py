"""What `demur experiment` reads: the events of all services that take part, in the order of their times."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.scores import FloatArray
from demur.commands.events import EventLogs
from demur.errors import InterfaceError
from monitoring.delivery.log_reader import LogReader
from monitoring.events import CONTROL, SHADOW_MARK, Event, PredictionEvent
from monitoring.experiments.arms import ArmSums
from service.settings import Settings

CHALLENGER: Final = "challenger"
SLICES: Final = 40
"""Pieces of equally many events that a log is cut into, so that it can be read step by step"""
_READ: Final = "log"
"""Name of the experiment that a whole log is read as"""


class NoExperiment(InterfaceError):
    """No experiment of that name, or none at all, has been started."""


class TooFewUnits(InterfaceError):
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


def data_folders(given: Sequence[Path]) -> list[Path]:
    """The data folders that were named, or that of the environment."""
    return list(given) or [Path(os.environ.get("DEMUR_DATA_DIR") or "demur-data")]


def log_readers(folders: Sequence[Path], model: str | None) -> list[LogReader]:
    """Readers of the logs of one model in each data folder. Raises NoEvents."""
    read = (
        Settings.read(os.environ, bundle=Path(), data_dir=folder, model=model, windows=None)
        for folder in folders
    )
    return [reader for settings in read for reader in EventLogs.of(settings).readers]


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
    table = sums.rows.table((CONTROL, CHALLENGER), shares)
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
