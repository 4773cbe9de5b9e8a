"""The event logs of a service as experiments read them: report, power and self-test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring.delivery.log_reader import LogReader, log_folders
from monitoring.experiments.analysis import analysis_values
from monitoring.experiments.decided import LabelTimes
from monitoring.experiments.definition import Definition
from monitoring.experiments.power import Asked, power_of_log, power_values
from monitoring.experiments.self_test import SelfTestTerms, run_self_test, self_test_values
from monitoring.experiments.unit_log import read_units
from service.lineup.pretended_deals import pretended_deals


@dataclass(frozen=True, slots=True)
class ExperimentLog:
    """The logs of all workers in one folder.

    Every method takes seconds on a long log and may raise OSError.
    """

    folder: Path
    times: LabelTimes | None = None

    def report(self, definition: Definition) -> dict[str, Any]:
        """The analysis of an experiment."""
        return analysis_values(definition, [self.folder], self.times)

    def power(self, asked: Asked) -> dict[str, Any]:
        """Days that an experiment takes. Raises PowerUnknown and TooFewUnits."""
        return power_values(power_of_log(asked.design(), read_units(self._readers())))

    def self_test(self, terms: SelfTestTerms) -> dict[str, Any]:
        """Equal arms, dealt anew many times. Raises TooFewUnits."""
        return self_test_values(run_self_test(self._readers(), terms, pretended_deals))

    def _readers(self) -> list[LogReader]:
        return [LogReader(folder) for folder in log_folders(self.folder)]
