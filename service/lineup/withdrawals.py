"""Withdrawals that nobody asks for: of a challenger beyond a guardrail, or whose promise is broken."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from monitoring.experiments.definition import AUTOMATIC
from monitoring.metrics.experiment_instruments import ExperimentInstruments
from service.lineup.experiment_orders import Asked
from service.lineup.experiments import Experiments

logger = structlog.get_logger("demur.experiments")

_NONE = "none"
"""In the place of an experiment, of a challenger that is in none"""


class Withdrawals:
    """Removes challengers, counts that and says why; from any thread."""

    def __init__(
        self, experiments: Experiments, instruments: ExperimentInstruments, stopping: Callable[[], bool]
    ) -> None:
        """`stopping`: whether the service ends, and its changes with it."""
        self._experiments, self._instruments, self._stopping = experiments, instruments, stopping

    def withdraw(self, arm: str, cause: str, reason: str, experiment: str | None = None) -> bool:
        """Remove the challenger with this `name:version`; whether it was one.

        `experiment`: only from this one. Raises ChangeRefused.
        """
        folder = self._experiments.folder_of(arm)
        if folder is None:
            return False
        running = self._experiments.running
        name = _NONE if running is None else running.name
        try:
            self._experiments.withdraw(folder, self._stopping, Asked(AUTOMATIC, reason, experiment, cause))
        except KeyError:
            return False  # a person, or another service, was faster
        self._instruments.withdrawals.labels(name, cause).inc()
        logger.error("experiment_arm_withdrawn", experiment=name, arm=arm, cause=cause, why=reason)
        return True
