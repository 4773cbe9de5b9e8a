"""The outcome of one whole run, read from the files of its folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from calibration import Certificate

DEMUR = Path(sys.executable).with_name("demur")
CLOCK = "seconds.txt"
"""Written into a run's folder at its end: how long it took"""


@dataclass(frozen=True)
class Outcome:
    """Figures of one finished run."""

    seed: int
    seconds: float
    certificate: Certificate
    report: Mapping[str, Mapping[str, float | None]]
    """Metric -> value, low, high."""
    recipe: Mapping[str, Any]
    """Of stage B"""

    @classmethod
    def read(cls, folder: Path, seed: int) -> Self:
        certificate = Certificate.from_dict(json.loads((folder / "certificate.json").read_text()))
        report = json.loads((folder / "metrics" / "report.json").read_text())
        seconds = float((folder / CLOCK).read_text())
        measured = {one["metric"]: one for one in report["measurements"]}
        config = yaml.safe_load((folder / "config.yaml").read_text())
        return cls(seed, seconds, certificate, measured, config["recipe"]["stage_b"])

    def figure(self, name: str) -> float:
        """A metric of the report, or the certified coverage; 0 if it is undefined or nothing is certified."""
        if name == "certified":
            return self.certificate.coverage if self.certificate.feasible else 0.0
        return self.report[name]["value"] or 0.0

    def row(self) -> list[str]:
        minutes, seconds = divmod(round(self.seconds), 60)
        percents = [
            self.shown(name, 100.0, 1, " %") for name in ("coverage", "selective_error", "stage_a_share")
        ]
        exact = [self.shown(name, 1.0, 3) for name in ("forced_accuracy", "forced_mcc")]
        return [str(self.seed), f"{minutes} min {seconds} s", self.certificate.sentence(), *percents, *exact]

    @property
    def stage_b(self) -> str:
        """Network and input size of stage B: `efficientnet-lite0 at 160 px`."""
        return f"{self.recipe['model']['name']} at {self.recipe['image_size']} px"

    def shown(self, name: str, factor: float = 1.0, digits: int = 3, unit: str = "") -> str:
        """A metric with its interval; `-` if it is undefined."""
        value, low, high = (self.report[name][key] for key in ("value", "low", "high"))
        if value is None:
            return "-"
        text = f"{factor * value:.{digits}f}{unit}"
        if low is None or high is None:
            return text
        return f"{text} ({factor * low:.{digits}f} to {factor * high:.{digits}f})"
