"""One experiment as its events tell it: now, and at each of many looks on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from calibration.experiments.analysis import Analysis, Terms, analyse
from calibration.experiments.arms import ArmTable, ShadowPairs
from calibration.experiments.comparison import Comparison, compare
from calibration.experiments.metrics import METRICS
from calibration.experiments.power import Design, Noise, days_to_units, needed_units
from demur.commands.experiment import NoExperiment, data_folders, log_readers
from monitoring.events import Event
from monitoring.experiments.arms import ArmSums
from monitoring.experiments.definition import Definition
from monitoring.experiments.folder import ExperimentFolder
from monitoring.experiments.unit_log import TooFewUnits, in_order

LOOKS: Final = 40
"""Looks that the course of an experiment is drawn through"""
_POWER: Final = 0.9


@dataclass(frozen=True, slots=True)
class Look:
    """What could be read at one moment."""

    at: float
    """Unix time, seconds"""
    units: tuple[int, ...]
    """Units seen so far, per arm"""
    figures: Mapping[tuple[str, str], Comparison]
    """By challenger and metric, for reading at every step"""


@dataclass(frozen=True, slots=True)
class ExperimentReading:
    """One experiment, read to its end or to now."""

    definition: Definition
    analysis: Analysis
    """For reading at every step"""
    once: Analysis
    """For one look at a moment that was chosen before"""
    looks: tuple[Look, ...]
    days: float
    """Time from the start to the last event"""
    needed: Mapping[tuple[str, str], float]
    """By challenger and metric: days from the start until a difference of the margin is concluded with a
    chance of 90 %, read at every step; inf if never"""


def read_experiment(name: str | None, folders: Sequence[Path], model: str | None) -> ExperimentReading:
    """The experiment of this name, by default the one that runs or the latest, from the logs of a model.

    Raises NoExperiment, TooFewUnits, NoEvents and DefinitionUnreadable.
    """
    where = data_folders(folders)
    definition = _definition(name, where)
    sums = ArmSums(definition.name, definition.guardrails.slow)
    sums.know(definition.names)
    last = max((event.at for event in in_order(log_readers(where, model))), default=0.0)
    looks = tuple(_looks(in_order(log_readers(where, model)), sums, definition, last))
    table = sums.table(definition)
    if table is None:
        raise TooFewUnits(f"no request of the experiment {definition.name} is in the event log yet")
    pairs = {arm: found for arm in table.arms[1:] if (found := sums.pairs(arm)) is not None}
    return ExperimentReading(
        definition=definition,
        analysis=_analysed(table, Terms(metrics=definition.metrics), pairs),
        once=_analysed(table, Terms(mode="fixed", metrics=definition.metrics), pairs),
        looks=looks,
        days=(looks[-1].at - definition.started.at) / 86_400.0,
        needed={
            (arm, metric): _days_needed(table, arm, metric)
            for arm in table.arms[1:]
            for metric in definition.metrics
        },
    )


def _definition(name: str | None, folders: Sequence[Path]) -> Definition:
    found = [one for folder in folders for one in ExperimentFolder(folder).all()]
    named = [one for one in found if name is None or one.name == name]
    if named:
        return next((one for one in reversed(named) if one.running), named[-1])
    where = ", ".join(str(folder) for folder in folders)
    if found:
        known = ", ".join(sorted({one.name for one in found}))
        raise NoExperiment(f"there is no experiment {name!r} in {where}; there are {known}")
    raise NoExperiment(
        f"no experiment has been started in {where}; start one with `demur experiment start`, or name the "
        "data folder of the service with --data-dir"
    )


def _looks(events: Iterator[Event], sums: ArmSums, definition: Definition, last: float) -> Iterator[Look]:
    """Let the sums take all events, and look at them at even distances of time up to the last one."""
    began = definition.started.at
    end = last if definition.ended is None else min(last, definition.ended.at)
    waiting = next(events, None)
    for at in np.linspace(began, max(began, end), LOOKS + 1)[1:].tolist():
        while waiting is not None and waiting.at <= at:
            sums.add((waiting,))
            waiting = next(events, None)
        yield _look(at, sums, definition)
    # Labels may come after the end.
    sums.add(() if waiting is None else (waiting,))
    sums.add(events)


def _look(at: float, sums: ArmSums, definition: Definition) -> Look:
    table = sums.table(definition)
    if table is None:
        return Look(at, (0,) * len(definition.names), {})
    units = tuple(len(np.unique(table.unit[table.arm == arm])) for arm in range(len(table.arms)))
    figures: dict[tuple[str, str], Comparison] = {
        (arm, metric): compare(table, metric, arm=arm)
        for arm in table.arms[1:]
        for metric in definition.metrics
    }
    return Look(at, units, figures)


def _analysed(table: ArmTable, terms: Terms, pairs: Mapping[str, ShadowPairs]) -> Analysis:
    return analyse(table, terms, pairs)


def _days_needed(table: ArmTable, arm: str, name: str) -> float:
    """inf also where there is nothing yet to compute it from."""
    metric = METRICS[name]
    two = table.pair(table.index(arm))
    noise, shares = Noise.of_table(two, metric), two.shares[two.shares.prod(axis=1) > 0.0]
    if noise is None or not len(shares):
        return float("inf")
    design = Design(metric, metric.margin, float(shares[-1, 1]), _POWER)
    first_at = np.full(int(two.unit.max()) + 1, np.inf)
    np.minimum.at(first_at, two.unit, two.first_at)
    return days_to_units(first_at[np.isfinite(first_at)], needed_units(design, noise, "anytime"))
