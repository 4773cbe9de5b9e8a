"""A dashboard as data: rows of panels, and what each panel asks and shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "stack", "number", "states", "table"]
"""`lines` and `stack` over time, `number` now, `states` flags over time, `table` the labels of now"""

Unit = Literal["seconds", "bytes", "ratio", "number", "per second"]

State = tuple[int, str, Literal["green", "red"]]
"""Value of a flag, its word and its colour"""

ALARM: tuple[State, ...] = ((0, "quiet", "green"), (1, "alarm", "red"))
WORKS: tuple[State, ...] = ((0, "fails", "red"), (1, "works", "green"))


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL and the legend of its series, in Grafana's notation."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. Series whose legend ends in `low` or `high` are the ends of an interval and drawn dashed."""

    title: str
    about: str
    """What it shows and how to read it; Grafana shows it at the title"""
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    unit: Unit = "number"
    width: int = 12
    """Columns of 24"""
    height: int = 8
    """Rows of Grafana's grid"""
    top: float | None = None
    """Largest value of the axis"""
    bottom: float = 0.0
    """Smallest value of the axis"""
    log: bool = False
    """Whether the axis is logarithmic"""
    warn: float | None = None
    """Value from which on it is a warning"""
    alarm: float | None = None
    """Value from which on it is an alarm; lines get a mark there"""
    states: tuple[State, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `name` is the name of its file."""

    name: str
    about: str
    variables: tuple[str, ...]
    """Labels to choose by at its head"""
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        return f"demur, {self.name}"


def number(
    title: str,
    about: str,
    expression: str,
    unit: Unit = "number",
    *,
    warn: float | None = None,
    alarm: float | None = None,
) -> Panel:
    """A panel with one number: the value of now. Six of them fill a row."""
    return Panel(
        title, about, (Query(expression),), "number", unit, width=4, height=4, warn=warn, alarm=alarm
    )
