"""Analysis of an experiment from its event logs, as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from calibration.experiments.analysis import Terms, analyse
from monitoring.experiments.arms import ArmReader, ArmSums
from monitoring.experiments.decided import LabelTimes
from monitoring.experiments.definition import Definition

_LARGEST: Final = 1e300
"""In the place of an infinite e-value, which JSON does not have"""


def read_sums(definition: Definition, logs: Sequence[Path], times: LabelTimes | None = None) -> ArmSums:
    """The sums of an experiment over everything that the logs hold of it. `logs`: folders with one for each
    worker, of one or several services. Raises OSError."""
    sums = ArmSums(definition.name, definition.guardrails.slow, times)
    sums.know(definition.names)
    ArmReader(logs, sums, since=definition.started.at).read()
    return sums


def analysis_values(
    definition: Definition, logs: Sequence[Path], times: LabelTimes | None = None
) -> dict[str, Any]:
    """All comparisons by stratum, read at this step. Raises OSError."""
    sums = read_sums(definition, logs, times)
    table = sums.table(definition)
    if table is None:
        return {"units": 0, "blocked": definition.mismatch is not None, "reason": "no request yet"}
    pairs = {arm: found for arm in table.arms[1:] if (found := sums.pairs(arm)) is not None}
    result = analyse(table, Terms(metrics=definition.metrics), pairs)
    values: dict[str, Any] = finite(asdict(result))
    conclusions = {one.arm: one.conclusion for one in result.arms}
    if definition.mismatch is not None:
        # An older part of the log, in which units were missing, may be gone.
        conclusions = dict.fromkeys(conclusions, "inconclusive")
    return {
        **values,
        "units": len(set(table.unit.tolist())),
        "blocked": result.blocked or definition.mismatch is not None,
        "conclusions": conclusions,
    }


def finite(value: Any) -> Any:
    """The value, and all that it holds, without numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(_LARGEST, value)
    return value
