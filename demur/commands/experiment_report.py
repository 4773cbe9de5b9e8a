"""`demur experiment report`: a page with pictures, and the same as values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from calibration.experiments.analysis import ArmAnalysis
from calibration.experiments.comparison import Comparison
from demur.commands.experiment_page import headline, page_lines
from demur.commands.experiment_reading import ExperimentReading
from demur.output import printable

PAGE: Final = "report.md"


def write_report(reading: ExperimentReading, out: Path) -> tuple[Path, list[Path]]:
    """Write the page and its pictures into a folder: (page, pictures). Raises OSError."""
    pictures = draw_report(reading, out)
    page = out / PAGE
    page.write_text(printable("\n".join(page_lines(reading, pictures)) + "\n"), encoding="utf-8")
    return page, pictures


def headlines(reading: ExperimentReading) -> Iterator[str]:
    """The conclusion of each challenger in a sentence."""
    return (headline(reading, arm) for arm in reading.analysis.arms)


def report_values(reading: ExperimentReading, pictures: Sequence[Path]) -> dict[str, Any]:
    """The report as plain JSON values."""
    definition, analysis = reading.definition, reading.analysis
    return plain(
        {
            "experiment": definition.name,
            "control": definition.control.label,
            "running": definition.running,
            "days": reading.days,
            "blocked": analysis.blocked,
            "sample_ratio": {
                "e_value": analysis.ratio.e_value,
                "highest": analysis.ratio.highest,
                "mismatch": analysis.ratio.mismatch,
                "units": dict(zip(analysis.ratio.arms, analysis.ratio.units, strict=True)),
                "strata": [asdict(one) for one in analysis.ratio.strata],
            },
            "arms": [
                {
                    "arm": arm.arm,
                    "headline": headline(reading, arm),
                    "conclusion": arm.conclusion,
                    "anytime": _figures(arm),
                    "fixed": _figures(once),
                    "labels": {"comparable": arm.labels.comparable, "sentence": arm.labels.sentence()},
                    "shadow": None if arm.shadow is None else asdict(arm.shadow),
                    "days_needed": {
                        figure.comparison.metric: reading.needed[arm.arm, figure.comparison.metric]
                        for figure in arm.figures
                    },
                }
                for arm, once in zip(analysis.arms, reading.once.arms, strict=True)
            ],
            "pictures": [str(path) for path in pictures],
        }
    )


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON has: None for infinite ones and NaN."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def draw_report(reading: ExperimentReading, out: Path) -> list[Path]:
    """Draw the pictures of a report into `out`."""
    from trainer.reports import experiment_pictures as pictures

    drawn = []
    changes = [stratum.note.at for stratum in reading.definition.strata[1:]]
    times = [look.at for look in reading.looks]
    several = len(reading.analysis.arms) > 1
    bars = [
        pictures.Bar(
            f"{one.arm} {one.metric}" if several else one.metric,
            one.difference,
            one.low,
            one.high,
            one.margin,
            one.conclusion,
        )
        for arm in reading.analysis.arms
        for one in (figure.comparison for figure in arm.figures)
        if one.difference is not None and one.low is not None and one.high is not None
    ]
    if bars:
        drawn.append(out / "differences.png")
        pictures.draw_differences(drawn[-1], bars)
    for index, arm in enumerate(reading.analysis.arms):
        courses = [
            _course(reading, arm.arm, figure.comparison)
            for figure in arm.figures
            if figure.comparison.difference is not None
        ]
        if courses:
            drawn.append(out / (f"course-{index + 1}.png" if several else "course.png"))
            pictures.draw_courses(drawn[-1], courses, changes)
    drawn.append(out / "units.png")
    units = np.array([look.units for look in reading.looks], dtype=np.float64)
    pictures.draw_units(drawn[-1], pictures.ArmUnits(reading.definition.names, times, units), changes)
    return drawn


def _course(reading: ExperimentReading, arm: str, one: Comparison) -> Any:
    from trainer.reports.experiment_pictures import DifferenceCourse

    found = [look.figures.get((arm, one.metric)) for look in reading.looks]
    columns = (
        np.array([math.nan if at is None or getattr(at, name) is None else getattr(at, name) for at in found])
        for name in ("difference", "low", "high")
    )
    return DifferenceCourse(one.metric, one.margin, [look.at for look in reading.looks], *columns)


def _figures(arm: ArmAnalysis) -> list[dict[str, Any]]:
    return [
        {**asdict(figure.comparison), "adjusted_p_value": figure.adjusted_p_value} for figure in arm.figures
    ]
