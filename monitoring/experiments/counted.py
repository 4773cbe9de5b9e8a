"""What was counted of an experiment at one moment, in one service or in all of a fleet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from calibration.experiments.agreement import Agreement, agreement
from calibration.experiments.arms import ArmTable
from monitoring.experiments.arms import ArmSums
from monitoring.experiments.definition import Definition
from monitoring.experiments.shadow_rows import ShadowColumns, joined
from monitoring.experiments.unit_columns import UnitColumns, merged

CROSSED: Final = "unit in two arms"


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of the units, and what could not be counted."""

    rows: UnitColumns
    beside: ShadowColumns
    faults: Mapping[str, int]
    """Events that could not be counted, by reason"""
    services: int = 1
    """Services whose rows these are, also such as have ended"""

    @classmethod
    def of(cls, sums: ArmSums) -> Self:
        """What one service has counted."""
        faults = {
            CROSSED: sums.rows.crossed,
            "too many units": sums.rows.left_out,
            "unknown arm": sums.unknown,
        }
        return cls(sums.rows.columns(), sums.beside.columns(), faults)

    @classmethod
    def together(cls, parts: Sequence[Counted]) -> Self:
        """What several services have counted; `parts`: one or more."""
        rows, crossed = merged([one.rows for one in parts])
        faults = Counter({CROSSED: crossed})
        for one in parts:
            faults.update(one.faults)
        beside = joined([one.beside for one in parts])
        return cls(rows, beside, dict(faults), sum(one.services for one in parts))

    def table(self, definition: Definition) -> ArmTable | None:
        """The table of all strata that the definition knows; None without a request."""
        return self.rows.table(definition.names, np.array(definition.designed()))

    def agreements(self, definition: Definition) -> dict[str, Agreement]:
        """By label of what is or was a shadow: how often it decides as the control does."""
        seen = set(self.beside.counts["arm"].tolist())
        return {
            arm: agreement(self.beside.of(index))
            for index, arm in enumerate(definition.names)
            if index in seen or arm in definition.strata[-1].shadows
        }
