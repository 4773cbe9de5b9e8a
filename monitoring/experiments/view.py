"""View of a running experiment: what the watch has seen last, as values for people and other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from calibration.experiments.agreement import Agreement
from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import Comparison
from calibration.experiments.sample_ratio import SampleRatio
from monitoring.experiments.analysis import finite
from monitoring.experiments.definition import Definition
from monitoring.experiments.guardrails import GuardReading


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """One look."""

    definition: Definition
    at: float
    """Unix time, seconds"""
    units: Mapping[str, int]
    """Units that each arm has had, by name"""
    requests: Mapping[str, int]
    ratio: SampleRatio | None
    """None without a unit"""
    guards: tuple[GuardReading, ...]
    figures: tuple[Comparison, ...]
    """The metrics of each challenger, for reading at every step; some looks old"""
    faults: Mapping[str, int]
    """Events that could not be counted, by reason"""
    strata_units: tuple[Mapping[str, int], ...] = ()
    """By stratum: units of which each arm has decided a request in it, by name"""
    shadows: Mapping[str, Agreement] = field(default_factory=dict)
    """By label: how often a shadow decides as the control does"""
    services: int = 1
    """Services whose rows were counted"""

    @property
    def blocked(self) -> bool:
        """Whether the ratio of units forbids every conclusion."""
        noted = self.definition.mismatch is not None
        return noted or (self.ratio is not None and self.ratio.mismatch)

    def public(self) -> dict[str, Any]:
        """What everybody may see: name, arms, shares and units."""
        definition, now = self.definition, self.definition.strata[-1]
        left = {one.arm: one.cause for one in definition.withdrawals}
        arms = [
            {
                "arm": name,
                "bundle": definition.control.label if index == 0 else name,
                "share": round(definition.designed()[-1][index], 9),
                "shadow": name in now.shadows,
                "units": self.units.get(name, 0),
                "withdrawn": left.get(name) if name not in (*now.shares, *now.shadows) else None,
            }
            for index, name in enumerate(definition.names)
        ]
        return {
            "name": definition.name,
            "began": definition.started.at,
            "stratum": definition.stratum,
            "arms": arms,
            "blocked": self.blocked,
            "services": self.services,
        }

    def to_values(self) -> dict[str, Any]:
        """Everything, as plain values that JSON holds."""
        ratio = self.ratio
        values = {
            **self.public(),
            "at": self.at,
            "requests": dict(self.requests),
            "strata_units": [dict(one) for one in self.strata_units],
            "shadows": {arm: _agreement(one) for arm, one in self.shadows.items()},
            "sample_ratio": None
            if ratio is None
            else {
                "e_value": ratio.e_value,
                "highest": ratio.highest,
                "mismatch": ratio.mismatch,
                "strata": [
                    {"units": one.units, "designed": one.designed, "e_value": one.e_value}
                    for one in ratio.strata
                ],
            },
            "guardrails": [asdict(one) for one in self.guards],
            "figures": [_figure(one, blocked=self.blocked) for one in self.figures],
            "faults": dict(self.faults),
        }
        plain: dict[str, Any] = finite(values)
        return plain


def units_by_arm(table: ArmTable | None, names: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """(units, requests) of each arm; a unit counts once in each arm that it has had."""
    if table is None:
        return dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    found = [table.arm == index for index in range(len(names))]
    units = [len(np.unique(table.unit[rows])) for rows in found]
    requests = [int(table.requests[rows].sum()) for rows in found]
    return dict(zip(names, units, strict=True)), dict(zip(names, requests, strict=True))


def units_by_stratum(table: ArmTable | None, names: tuple[str, ...], strata: int) -> list[dict[str, int]]:
    """By stratum: units of which each arm has decided a request in it."""
    counts = np.zeros((strata, len(names)), dtype=np.int64)
    if table is not None:
        decided = table.requests > 0
        np.add.at(counts, (table.stratum[decided], table.arm[decided]), 1)
    return [dict(zip(names, map(int, row), strict=True)) for row in counts]


def _agreement(one: Agreement) -> dict[str, Any]:
    values = asdict(one)
    return {"agreement": values.pop("share"), **values}


def _figure(one: Comparison, *, blocked: bool) -> dict[str, Any]:
    values = asdict(one)
    if blocked:
        values |= {"conclusion": "inconclusive", "reason": "the arms do not have the designed shares"}
    return values
