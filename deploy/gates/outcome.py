"""Result of a gate: passed, failed or inconclusive, with the figure and its limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["passed", "failed", "inconclusive"]
"""`inconclusive`: no data, an error, a time-out, or figures that decide nothing; never as good as passed"""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate says of the newcomer."""

    gate: str
    outcome: Outcome
    text: str
    """One sentence for people; unless it is passed with the reason and the way out"""
    figure: float | str | None = None
    """What was found; None: nothing could be"""
    limit: float | str | None = None
    """What it is held against"""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Plain values behind the figure, for the report"""

    def to_values(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A gate that was not asked for, which is not the same as passed."""

    gate: str
    why: str
    """One sentence"""
