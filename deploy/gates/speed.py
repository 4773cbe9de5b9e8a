"""Gates on latency, memory and start: a figure with its interval against a budget and against the champion's.

Passed if the whole interval is within the limit, failed if none of it is; otherwise the machine is too noisy
to tell, which is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from bundle.system.subprocess_call import Say
from calibration.scores import FloatArray
from deploy.gates.measure import Start, measured_latencies, measured_starts
from deploy.gates.outcome import GateResult, Outcome
from deploy.gates.plan import SpeedGate
from deploy.gates.served import Served

_RESAMPLES: Final = 1000
_SEED: Final = 0
_INTERVAL: Final = (0.05, 0.95)
_BINS: Final = 40
_START_MARGIN: Final = 5.0
"""Seconds that a process of measurements keeps to report"""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its interval, and the limit that it is held against."""

    name: str
    """`1.5 times the champion's`, `250 ms`"""
    value: float
    low: float
    high: float
    limit: float
    unit: str
    """`ms`, `MiB`, or `times` the champion's"""
    field: str
    """Of the plan"""

    @property
    def outcome(self) -> Outcome:
        if self.high <= self.limit:
            return "passed"
        return "failed" if self.low > self.limit else "inconclusive"

    def sentence(self) -> str:
        """`1.03 times (0.98 to 1.09), at most 1.5`"""
        return (
            f"{self.name} {self.value:.4g} {self.unit} ({self.low:.4g} to {self.high:.4g}), at most "
            f"{self.limit:g} ({self.field})"
        )


def ask_latency(newcomer: Served, champion: Served | None, gate: SpeedGate, *, say: Say) -> list[GateResult]:
    """The 99th percentile of the latency of one image."""
    sides = [newcomer] if champion is None else [newcomer, champion]
    seconds = measured_latencies(sides, gate.seconds, say=say)
    return [latency_result(seconds, gate)]


def latency_result(seconds: Sequence[FloatArray], gate: SpeedGate) -> GateResult:
    """From the latencies of the newcomer and, if there is one, the champion, each [blocks, images], s.

    Intervals hold 90 %, by resampling blocks, each with the block of the other beside it.
    """
    ours = 1000.0 * seconds[0]
    drawn = np.random.default_rng(_SEED).integers(0, len(ours), (_RESAMPLES, len(ours)))
    p99 = [_p99(1000.0 * side, drawn) for side in seconds]
    found = []
    if gate.p99 is not None:
        found.append(_measured("p99", p99[0], gate.p99, "ms", "gates.speed.p99"))
    if len(p99) == 2 and gate.p99_ratio is not None:
        ratio = p99[0] / p99[1]
        found.append(_measured("p99", ratio, gate.p99_ratio, "times the champion's", "gates.speed.p99_ratio"))
    details: dict[str, Any] = {"images": int(ours.size), "milliseconds": _distributions(seconds)}
    return _result("latency", found, details)


def ask_start(
    newcomer: Served, champion: Served | None, gate: SpeedGate, longest: float, *, say: Say
) -> list[GateResult]:
    """The gates `memory` and `start`."""
    sides = [newcomer] if champion is None else [newcomer, champion]
    starts = measured_starts(sides, max(1.0, longest - _START_MARGIN), say=say)
    return [memory_result(starts, gate), start_result(starts, gate)]


def memory_result(starts: Sequence[Sequence[Start]], gate: SpeedGate) -> GateResult:
    """From starts of the newcomer and, if there is one, the champion."""
    values = [np.array([one.memory for one in side]) for side in starts]
    return _rounds("memory", values, gate.memory, gate.memory_ratio, "MiB")


def start_result(starts: Sequence[Sequence[Start]], gate: SpeedGate) -> GateResult:
    """From starts of the newcomer and, if there is one, the champion."""
    values = [1000.0 * np.array([one.seconds for one in side]) for side in starts]
    return _rounds("start", values, gate.start, gate.start_ratio, "ms")


def _rounds(
    gate: str, values: Sequence[FloatArray], most: float | None, ratio: float | None, unit: str
) -> GateResult:
    found = []
    if most is not None:
        found.append(_median(gate, values[0], most, unit, f"gates.speed.{gate}"))
    if len(values) == 2 and ratio is not None:
        name = f"gates.speed.{gate}_ratio"
        found.append(_median(gate, values[0] / values[1], ratio, "times the champion's", name))
    sides = dict(zip(("newcomer", "champion"), (side.tolist() for side in values), strict=False))
    return _result(gate, found, {unit: sides})


def _median(name: str, values: FloatArray, limit: float, unit: str, field: str) -> Measured:
    """The median of the rounds; their smallest and largest enclose it."""
    low, high = float(values.min()), float(values.max())
    return Measured(name, float(np.median(values)), low, high, limit, unit, field)


def _p99(milliseconds: FloatArray, drawn: np.ndarray[Any, Any]) -> FloatArray:
    """[1 + resamples]: the 99th percentile as measured, and of each resample of the blocks."""
    resampled = milliseconds[drawn].reshape(len(drawn), -1)
    return np.concatenate([[np.quantile(milliseconds, 0.99)], np.quantile(resampled, 0.99, axis=1)])


def _measured(name: str, values: FloatArray, limit: float, unit: str, field: str) -> Measured:
    low, high = np.quantile(values[1:], _INTERVAL)
    return Measured(name, float(values[0]), float(low), float(high), limit, unit, field)


def _result(gate: str, found: Sequence[Measured], details: dict[str, Any]) -> GateResult:
    """The worst outcome of what was measured."""
    if not found:
        return GateResult(
            gate, "inconclusive", "nothing was measured that the plan limits", None, None, details
        )
    order: tuple[Outcome, ...] = ("failed", "inconclusive", "passed")
    worst = min(found, key=lambda one: order.index(one.outcome))
    text = "; ".join(one.sentence() for one in found)
    if worst.outcome == "inconclusive":
        text += (
            f": the measurements vary too much here to tell; repeat it on a quieter machine, or leave the "
            f"gate out (gates.leave_out: [{gate}])"
        )
    details = details | {"measured": [asdict(one) for one in found]}
    return GateResult(gate, worst.outcome, text, worst.value, worst.limit, details)


def _distributions(seconds: Sequence[FloatArray]) -> dict[str, Any]:
    """Percentiles and a histogram of each side, for the report."""
    whole = 1000.0 * np.concatenate([side.ravel() for side in seconds])
    edges = np.geomspace(max(1e-6, whole.min()), whole.max() * (1.0 + 1e-9) + 1e-9, _BINS + 1)
    found: dict[str, Any] = {"edges": edges.tolist()}
    for name, side in zip(("newcomer", "champion"), seconds, strict=False):
        values = 1000.0 * side.ravel()
        p50, p95, p99 = np.quantile(values, (0.5, 0.95, 0.99)).tolist()
        counts = np.histogram(values, edges)[0].tolist()
        found[name] = {"p50": p50, "p95": p95, "p99": p99, "counts": counts}
    return found
