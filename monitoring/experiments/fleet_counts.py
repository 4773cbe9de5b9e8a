"""Counts of a fleet: what its services have counted together, as far as the store lets each of them know.

A service whose store does not answer goes on with its own rows and with what it has read of the others.
"""

from __future__ import annotations

import structlog

from monitoring.experiments.counted import Counted
from monitoring.experiments.definition import Definition
from monitoring.experiments.shared_rows import SharedRows
from monitoring.experiments.shared_view import SharedViews
from monitoring.experiments.view import ExperimentView
from monitoring.store.contract import StoreUnavailable

logger = structlog.get_logger("demur.experiments")


class FleetCounts:
    """`SharedCounts` of one service; for one thread."""

    def __init__(self, url: str, fleet: str, log: str, *, timeout: float = 1.0) -> None:
        """`log`: name of the service's event log; `timeout`: seconds per command. Raises StoreUnavailable
        for an address that cannot be used."""
        self._views = SharedViews(url, fleet, timeout)
        self._rows = SharedRows(url, fleet, log, timeout=timeout)
        self._log = log
        self._others: tuple[str, list[Counted]] = ("", [])
        self._said: str | None = None

    def counted(self, definition: Definition, own: Counted) -> Counted:
        """Let the others have what this service has counted, and add what they have."""
        try:
            self._rows.publish(definition, own)
            self._others = (definition.name, self._rows.others(definition))
        except StoreUnavailable as error:
            self._say(str(error))
        else:
            self._said = None
        experiment, others = self._others
        return Counted.together([own, *(others if experiment == definition.name else [])])

    def keep_view(self, view: ExperimentView) -> None:
        """Let others see what was concluded."""
        try:
            self._views.keep(view.definition.name, self._log, view.to_values())
        except StoreUnavailable as error:
            self._say(str(error))

    def _say(self, why: str) -> None:
        """Log a fault once, until it is over."""
        if self._said is None:
            logger.warning(
                "experiment_not_shared",
                why=why,
                note="this service judges the experiment by its own requests, and by what it has read of the "
                "others, until the store answers",
            )
        self._said = why
