"""Several metrics and arms at once: which conclusions still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calibration.experiments.comparison import LEVEL, Comparison


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in the order given (Holm, "A simple sequentially rejective multiple test procedure",
    1979).

    Those at most a level are rejected at that level together, however the tests depend on each other. Raises
    ValueError for a value outside of [0, 1].
    """
    if not all(0.0 <= one <= 1.0 for one in p_values):
        raise ValueError(f"p_values are {tuple(p_values)!r}; each must lie in [0, 1]")
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def conclude_together(
    comparisons: Sequence[Comparison], level: float = LEVEL
) -> tuple[tuple[Comparison, float], ...]:
    """Each comparison with its adjusted p-value; better or worse stays only where that is at most `level`.

    So of all comparisons together at most `level` of the experiments without a difference have a wrong one.
    """
    adjusted = holm([one.p_value for one in comparisons])
    return tuple((_kept(one, p, level), p) for one, p in zip(comparisons, adjusted, strict=True))


def _kept(one: Comparison, adjusted: float, level: float) -> Comparison:
    if one.conclusion not in ("better", "worse") or adjusted <= level:
        return one
    reason = f"{one.conclusion} by itself, but not among all comparisons (Holm: p = {adjusted:.2g})"
    return replace(one, conclusion="inconclusive", reason=reason)
