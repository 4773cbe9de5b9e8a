"""Measured values, their medians and ranges, and the tables that show them."""

from __future__ import annotations

import csv
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from demur.profile.figures import Repeated
from harness.record import Claim

FIGURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "efficiency": ("CPU efficiency", ""),
        "overhead": ("CPU overhead a request", "ms"),
        "raw_cpu": ("raw CPU an image", "ms"),
        "server_cpu": ("server CPU a request", "ms"),
        "rate": ("requests/s", "1/s"),
        "p50": ("p50", "ms"),
        "p99": ("p99", "ms"),
        "tail": ("p99 x rate / clients", ""),
        "health_p99": ("/health p99", "ms"),
        "resident": ("resident memory, all processes", "MB"),
        "ready": ("start to ready", "s"),
        "raw_rate": ("raw images/s", "1/s"),
        "share_of_raw": ("share of N raw processes", ""),
        "share_of_rest": ("the same, without the generator's CPU", ""),
        "resident_worker": ("resident memory of a worker", "MB"),
        "left_to_b": ("images that stage B computes", ""),
        "answered": ("images answered", ""),
        "rate_ahead": ("requests/s against the best other server", ""),
        "cpu_ahead": ("CPU per request of the best other server against its own", ""),
    }
)
"""Figure -> its title and unit."""

_COMPARISONS: Mapping[Literal["at least", "at most"], Callable[[float, float], bool]] = {
    "at least": operator.ge,
    "at most": operator.le,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Subject of a measurement."""

    part: str
    model: str
    server: str
    clients: int


@dataclass(frozen=True, slots=True)
class Target:
    """Bound on the median of one figure."""

    subject: Subject
    figure: str
    bound: Literal["at least", "at most"]
    limit: float


class Measured:
    """Measured values, run by run."""

    def __init__(self) -> None:
        self._values: dict[tuple[Subject, str], list[float]] = defaultdict(list)

    def add(self, subject: Subject, **values: float) -> None:
        """Add one run's values of these figures."""
        for figure, value in values.items():
            self._values[subject, figure].append(value)

    def subjects(self, part: str) -> list[Subject]:
        """Subjects of a part, in the order in which they were first measured."""
        return list(dict.fromkeys(subject for subject, _ in self._values if subject.part == part))

    def get(self, subject: Subject, figure: str) -> Repeated | None:
        values = self._values.get((subject, figure))
        return Repeated.of(values) if values else None

    def runs(self, subject: Subject, figure: str) -> list[float]:
        """The values of every run, in their order."""
        return list(self._values.get((subject, figure), ()))

    def write_csv(self, path: Path) -> None:
        """Write one line per figure: the median, the range and every run."""
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow((*Subject.__slots__, "figure", "unit", *Repeated.__slots__, "values"))
            for (subject, figure), values in self._values.items():
                found = Repeated.of(values)
                runs = " ".join(f"{value:.6g}" for value in values)
                writer.writerow(
                    (
                        *asdict(subject).values(),
                        figure,
                        FIGURES[figure][1],
                        *(f"{v:.6g}" for v in asdict(found).values()),
                        runs,
                    )
                )

    def table(self, part: str, figures: Sequence[str]) -> str:
        """Markdown table: one row per subject, one column per figure with median and range of the runs."""
        titles = [_titled(figure) for figure in figures]
        rows = [
            [s.model, s.server, str(s.clients), *(shown(self.get(s, figure)) for figure in figures)]
            for s in self.subjects(part)
        ]
        return markdown(["model", "server", "clients", *titles], rows)

    def verdicts(self, targets: Iterable[Target]) -> str:
        """Markdown table of the targets and their verdicts; targets without a measurement are left out."""
        rows = []
        for target in targets:
            found = self.get(target.subject, target.figure)
            if found is None:
                continue
            met = _COMPARISONS[target.bound](found.median, target.limit)
            subject = target.subject
            rows.append(
                [
                    f"{_titled(target.figure)}, {subject.model}, {subject.clients} clients",
                    f"{target.bound} {target.limit:g}",
                    shown(found),
                    "met" if met else "**missed**",
                ]
            )
        return markdown(["target", "bound", "measured", ""], rows)

    def claims(self, targets: Iterable[Target]) -> list[Claim]:
        """One claim per figure and number of clients, over all models that were measured."""
        groups: dict[tuple[str, str, int], list[tuple[Target, Repeated]]] = defaultdict(list)
        for target in targets:
            found = self.get(target.subject, target.figure)
            if found is not None:
                groups[target.subject.part, target.figure, target.subject.clients].append((target, found))
        claims = []
        for (part, figure, clients), group in groups.items():
            models = ", ".join(target.subject.model for target, _ in group)
            limits = list(dict.fromkeys(f"{target.limit:g}" for target, _ in group))
            claims.append(
                Claim(
                    f"{_titled(figure)}, {part}, {clients} clients: {models}",
                    ", ".join(_short(found.median) for _, found in group),
                    f"{group[0][0].bound} {', '.join(limits)}",
                    all(_COMPARISONS[target.bound](found.median, target.limit) for target, found in group),
                )
            )
        return claims


def shown(value: Repeated | None) -> str:
    """`median (low to high)`, or a dash."""
    if value is None:
        return "-"
    return f"{_short(value.median)} ({_short(value.low)} to {_short(value.high)})"


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _titled(figure: str) -> str:
    title, unit = FIGURES[figure]
    return f"{title}, {unit}" if unit not in ("", "1/s") else title


def _short(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3 if abs(value) < 2 else 2
    return f"{value:,.{digits}f}"
