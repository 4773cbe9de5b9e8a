"""Signals of the experiments: their sample ratio, and the arms that a guardrail has withdrawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from monitoring.alerts.alert import Alert
from monitoring.alerts.signals import Reading, labels_of
from monitoring.experiments.definition import Definition
from monitoring.experiments.folder import ExperimentFolder

_NOTED: Final = 1e6
"""E-value of a mismatch that the watch has noted, whatever its value is now"""


def experiment_readings(folder: ExperimentFolder, alerts: Sequence[Alert], now: float) -> Iterator[Reading]:
    """The readings of every running experiment. `alerts`: the open ones; they end with their experiment."""
    running = {one.name: one for one in folder.all() if one.running}
    for definition in running.values():
        yield _sample_ratio(definition, folder.view(definition.name) or {}, now)
        yield from _withdrawals(definition, now)
    for alert in alerts:
        name = alert.label("experiment")
        if name and name not in running and alert.reading is not None:
            text = f"the experiment {name} has ended"
            signal = alert.reading.signal
            yield Reading(signal, alert.labels, None, None, None, None, None, now, text, over=True)


def _sample_ratio(definition: Definition, view: dict[str, Any], now: float) -> Reading:
    ratio: dict[str, Any] = view.get("sample_ratio") or {}
    labels = labels_of({"experiment": definition.name})
    value, since = ratio.get("highest"), definition.started.at
    text = f"no unit of the experiment {definition.name} has been counted yet"
    if value is not None:
        text = f"the units of {definition.name} have an e-value of at most {value:.3g} against their shares"
    if definition.mismatch is not None:
        value, since = max(value or 0.0, _NOTED), definition.mismatch.at
        text = f"the arms of {definition.name} do not have their shares: {definition.mismatch.reason}"
    units = {one["arm"]: one["units"] for one in view.get("arms") or ()}
    n = sum(units.values()) if units else None
    return Reading("sample_ratio", labels, value, None, None, n, since, now, text)


def _withdrawals(definition: Definition, now: float) -> Iterator[Reading]:
    for arm in definition.arms:
        left = definition.withdrawn(arm.label)
        labels = labels_of({"experiment": definition.name, "arm": arm.label})
        text = f"{arm.label} is in the experiment {definition.name}"
        if left is not None:
            text = f"{arm.label} was withdrawn from {definition.name} by its {left.cause}: {left.note.reason}"
        since = definition.started.at if left is None else left.note.at
        yield Reading(
            "experiment_withdrawn", labels, float(left is not None), None, None, None, since, now, text
        )
